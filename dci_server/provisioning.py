# SPDX-License-Identifier: Apache-2.0
"""What a hub needs before anybody can use it, and a scene to try it with. Running it again changes nothing."""

import secrets
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID, uuid4

from dci_server.foundation.auth.client_secrets import REMOTECIS, NewSecret, first_secret, rotation
from dci_server.foundation.auth.passwords import hash_password
from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.database.connection import (
    Connection,
    execute,
    fetch_row,
    fetch_rows,
    fetch_value,
    transaction,
)
from dci_server.foundation.errors import ApiError

ROLES = (("super_admin", "admin"), ("read_only", "Red Hat"), ("epm", "EPM"))
DEMO_TEAM = "Demo lab"
DEMO_TOPIC = "RHEL-9.6"
DEMO_REMOTECI = "demo-remoteci"
DEMO_COMPONENTS = ("RHEL-9.6.0-20261101.0", "RHEL-9.6.0-20261115.0")


@dataclass(frozen=True)
class Login:
    name: str
    password: str


@dataclass(frozen=True)
class Credentials:
    """Of a remoteci; the secret can't be read again."""

    client_id: str
    api_secret: str


@dataclass(frozen=True)
class Scene:
    """What was created now; None for what was there."""

    administrator: Login | None
    demo_user: Login | None
    remoteci: Credentials | None


async def provision(db: Connection, box: SecretBox, admin_password: str | None, *, with_demo: bool) -> Scene:
    """In one transaction: all of it, or nothing."""
    async with transaction(db) as connection:
        await execute(connection, "select pg_advisory_xact_lock(4025061124)")
        for role, name in ROLES:
            await execute(
                connection,
                """insert into teams (name, role) values (%(name)s::text, %(role)s::text) on conflict do nothing""",
                name=name,
                role=role,
            )
        admin_team = await fetch_value(connection, "select id from teams where role = 'super_admin'")
        if admin_team is None:
            raise ApiError("a team named admin exists but carries no role; rename it and provision again")
        administrator = await _user(connection, "admin", "Administrator", admin_team, admin_password)
        if not with_demo:
            return Scene(administrator, None, None)
        team = await _demo_scene(connection)
        user = await _user(connection, "demo", "Demo user", team, None)
        remoteci = await _remoteci(connection, box, DEMO_REMOTECI, team)
    return Scene(administrator, user, remoteci)


async def add_remoteci(
    db: Connection, box: SecretBox, name: str, team_name: str, *, rotate: bool, overlap: int = 0
) -> Credentials | None:
    """A laboratory and its team. None when it exists and its secret is to stay.

    Rotated, its old secrets stay valid for `overlap` seconds.
    """
    async with transaction(db) as connection:
        team = await _id(
            connection,
            "insert into teams (name) values (%(name)s::text) on conflict (name) do nothing",
            "select id from teams where name = %(name)s::text",
            name=team_name,
        )
        created = await _remoteci(connection, box, name, team)
        if created is not None or not rotate:
            return created
        return await _rotate(connection, box, name, team, overlap)


async def rewrap(db: Connection, box: SecretBox) -> int:
    """Seals every secret again with the first key; how many were sealed with another."""
    count = 0
    async with transaction(db) as connection:
        for find, seal in _SEALED:
            for row in await fetch_rows(connection, find):
                if box.is_current(row["sealed_secret"]):
                    continue
                sealed = box.seal(box.open(row["sealed_secret"], row["owner"]), row["owner"])
                await execute(connection, seal, sealed=sealed, id=row["id"])
                count += 1
    return count


_SEALED: tuple[tuple[LiteralString, LiteralString], ...] = (
    (
        "select id, coalesce(remoteci_id, feeder_id) as owner, sealed_secret from client_secrets for update",
        "update client_secrets set sealed_secret = %(sealed)s::bytea where id = %(id)s::uuid",
    ),
    (
        "select id, id as owner, sealed_secret from webhooks for update",
        "update webhooks set sealed_secret = %(sealed)s::bytea where id = %(id)s::uuid",
    ),
)


async def _demo_scene(connection: Connection) -> UUID:
    product = await _id(
        connection,
        "insert into products (name, label) values ('RHEL', 'RHEL') on conflict (label) do nothing",
        "select id from products where label = 'RHEL'",
    )
    team = await _id(
        connection,
        "insert into teams (name) values (%(name)s::text) on conflict (name) do nothing",
        "select id from teams where name = %(name)s::text",
        name=DEMO_TEAM,
    )
    await execute(
        connection,
        """insert into products_teams (product_id, team_id) values (%(product)s::uuid, %(team)s::uuid)
           on conflict do nothing""",
        product=product,
        team=team,
    )
    topic = await _id(
        connection,
        """insert into topics (name, product_id, component_types, export_control)
           values (%(name)s::text, %(product)s::uuid, array['compose'], true) on conflict (name) do nothing""",
        "select id from topics where name = %(name)s::text",
        name=DEMO_TOPIC,
        product=product,
    )
    for age, name in enumerate(reversed(DEMO_COMPONENTS)):
        await execute(
            connection,
            """insert into components (name, display_name, version, type, topic_id, released_at, created_at)
               values (%(name)s::text, %(name)s::text, replace(%(name)s::text, 'RHEL-', ''), 'compose', %(topic)s::uuid,
                       utc_now() - %(age)s::integer * interval '1 day', utc_now() - %(age)s::integer * interval '1 day')
               on conflict do nothing""",
            name=name,
            topic=topic,
            age=age,
        )
    return team


async def _id(connection: Connection, insert: LiteralString, select: LiteralString, **values: object) -> UUID:
    await execute(connection, insert, **values)
    return await fetch_value(connection, select, **values)


async def _user(connection: Connection, name: str, fullname: str, team: UUID, password: str | None) -> Login | None:
    if await fetch_row(connection, "select from users where name = %(name)s::text", name=name) is not None:
        return None
    chosen = password or secrets.token_urlsafe(15)
    await execute(
        connection,
        """with created as (
               insert into users (name, fullname, email, password_hash)
               values (%(name)s::text, %(fullname)s::text, %(name)s::text || '@example.org', %(hash)s::text) returning id)
           insert into users_teams (user_id, team_id) select id, %(team)s::uuid from created""",
        name=name,
        fullname=fullname,
        hash=hash_password(chosen),
        team=team,
    )
    return Login(name, chosen)


async def _remoteci(connection: Connection, box: SecretBox, name: str, team: UUID) -> Credentials | None:
    identifier = uuid4()
    secret = NewSecret.for_owner(box, identifier)
    created = await fetch_value(
        connection,
        """with created as (
               insert into remotecis (id, name, team_id) values (%(id)s::uuid, %(name)s::text, %(team)s::uuid)
               on conflict (name, team_id) do nothing returning id)"""
        + first_secret(REMOTECIS)
        + " select id from created",
        id=identifier,
        name=name,
        team=team,
        sealed_secret=secret.sealed,
    )
    return None if created is None else Credentials(f"remoteci/{identifier}", secret.clear)


async def _rotate(connection: Connection, box: SecretBox, name: str, team: UUID, overlap: int) -> Credentials:
    identifier: UUID = await fetch_value(
        connection, "select id from remotecis where name = %(name)s::text and team_id = %(team)s::uuid",
        name=name, team=team,
    )  # fmt: skip
    secret = NewSecret.for_owner(box, identifier)
    await execute(
        connection,
        """with changed as (
               update remotecis set etag = new_etag(), updated_at = utc_now(), state = 'active'
               where id = %(id)s::uuid returning id)"""
        + rotation(REMOTECIS)
        + " select from changed",
        id=identifier,
        overlap=overlap,
        expires_in=None,
        sealed_secret=secret.sealed,
    )
    return Credentials(f"remoteci/{identifier}", secret.clear)
