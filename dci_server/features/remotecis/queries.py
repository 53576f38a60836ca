# SPDX-License-Identifier: Apache-2.0
"""The SQL of remotecis."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.remotecis.model import NewRemoteci, Remoteci, RemoteciWithSecret
from dci_server.features.teams.queries import REMOTECI_COLUMNS, STATES, TEAM_COLUMNS
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    by_id,
    fetch_one,
    fetch_page,
    fetch_value,
)
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "api_secret": Column("null", "text", secret=True),
    "created_at": Column("remotecis.created_at", "timestamp"),
    "data": Column("remotecis.data", "json", secret=True),
    "etag": Column("remotecis.etag", "text"),
    "id": Column("remotecis.id", "uuid"),
    "name": Column("remotecis.name", "text"),
    "public": Column("remotecis.public", "boolean"),
    "state": Column("remotecis.state", "enum", members=STATES),
    "team_id": Column("remotecis.team_id", "uuid"),
    "updated_at": Column("remotecis.updated_at", "timestamp"),
}

REMOTECI: LiteralString = (
    "select "
    + REMOTECI_COLUMNS
    + """,
    (select row_to_json(t) from (select """
    + TEAM_COLUMNS
    + """ from teams where teams.id = remotecis.team_id) as t)
        as team,
    (select coalesce(json_agg(row_to_json(u)), '[]'::json) from (
        select users.id, users.created_at, users.updated_at, users.etag, users.name, users.fullname, users.email,
               coalesce(users.sso_username, '') as sso_username, users.sso_sub, users.timezone, users.state
        from users join users_remotecis on users_remotecis.user_id = users.id
        where users_remotecis.remoteci_id = remotecis.id and users.state <> 'archived'
        order by users.created_at, users.id) as u) as users
"""
)


async def list_remotecis(db: Connection, visible: Condition, listing: Listing) -> Json[list[Remoteci]]:
    return await fetch_page(db, Remoteci, "remotecis", REMOTECI, "remotecis", visible, listing)


async def team_exists(db: Connection, team_id: UUID) -> bool:
    return await fetch_value(
        db,
        "select exists (select from teams where id = %(team_id)s::uuid and state <> 'archived')",
        team_id=team_id,
    )


async def find_remoteci(db: Connection, remoteci_id: UUID, *conditions: Condition) -> Json[Remoteci] | None:
    return await fetch_one(db, Remoteci, REMOTECI + " from remotecis", by_id("remotecis", remoteci_id), *conditions)


async def insert_remoteci(
    db: Connection, remoteci_id: UUID, new: NewRemoteci, secret: str, sealed: bytes
) -> Json[RemoteciWithSecret]:
    """The answer carries the secret; the table only what is sealed."""
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into remotecis (id, name, team_id, data, public, state)
                   values (%(id)s::uuid, %(name)s::text, %(team_id)s::uuid, %(data)s::json, %(public)s::boolean,
                           %(state)s::text)
                   returning *
               ), kept as (
                   insert into client_secrets (remoteci_id, sealed_secret) select id, %(sealed)s::bytea from created)
               select row_to_json(r) from (select """
            + REMOTECI_COLUMNS
            + ", %(secret)s::text as api_secret from created as remotecis) as r",
            id=remoteci_id,
            name=new.name,
            team_id=new.team_id,
            data=bytes(new.data),
            public=new.public,
            state=new.state,
            sealed=sealed,
            secret=secret,
        )
    )
