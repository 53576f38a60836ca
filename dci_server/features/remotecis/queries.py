# SPDX-License-Identifier: Apache-2.0
"""The SQL of remotecis."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.remotecis.model import ChangedRemoteci, NewRemoteci, Remoteci, RemoteciWithSecret
from dci_server.features.teams.queries import LIVING_TEAM, REMOTECI_COLUMNS, STATES, TEAM_COLUMNS
from dci_server.features.users.queries import USER_COLUMNS
from dci_server.foundation.auth.client_secrets import REMOTECIS, SHOWN, NewSecret, first_secret
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.changes import ARCHIVE, Assignments, Change, assignments, change_row
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    by_id,
    fetch_one,
    fetch_page,
    fetch_row,
    fetch_value,
)
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.events.actor import BY_ACTOR
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "api_secret": Column("null", "text", secret=True),
    "created_at": Column("remotecis.created_at", "timestamp"),
    "data": Column("remotecis.data", "json", secret=True),
    "etag": Column("remotecis.etag", "text"),
    "id": Column("remotecis.id", "uuid"),
    "last_auth_at": Column("remotecis.last_auth_at", "timestamp"),
    "name": Column("remotecis.name", "text"),
    "public": Column("remotecis.public", "boolean"),
    "state": Column("remotecis.state", "enum", members=STATES),
    "team_id": Column("remotecis.team_id", "uuid"),
    "updated_at": Column("remotecis.updated_at", "timestamp"),
}

_SUBSCRIBERS: LiteralString = (
    "select "
    + USER_COLUMNS
    + """ from users join users_remotecis on users_remotecis.user_id = users.id
        where users_remotecis.remoteci_id = remotecis.id and users.state <> 'archived'
        order by users.created_at, users.id"""
)
REMOTECI: LiteralString = (
    "select "
    + REMOTECI_COLUMNS
    + """,
    (select row_to_json(t) from (select """
    + TEAM_COLUMNS
    + """ from teams where teams.id = remotecis.team_id) as t)
        as team,
    (select coalesce(json_agg(row_to_json(u)), '[]'::json) from ("""
    + _SUBSCRIBERS
    + ") as u) as users\n"
)

_ASSIGNED: dict[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "team_id": "team_id = " + LIVING_TEAM,
    "data": "data = %(data)s::json",
    "public": "public = %(public)s::boolean",
    "state": "state = %(state)s::text",
}

# With a remoteci go its jobs, and the subscriptions to it (resources.md §8.5).
_GONE_WITH_IT: LiteralString = """, archived_jobs as (
    update jobs set state = 'archived', etag = new_etag(), updated_at = utc_now()
    from changed where jobs.remoteci_id = changed.id and jobs.state <> 'archived'
), unsubscribed as (
    delete from users_remotecis using changed where users_remotecis.remoteci_id = changed.id
)"""


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
    db: Connection, remoteci_id: UUID, new: NewRemoteci, secret: NewSecret, caller: Identity
) -> Json[RemoteciWithSecret]:
    """The answer carries the secret; the table only what is sealed."""
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into remotecis (id, name, team_id, data, public, state)
                   select %(id)s::uuid, %(name)s::text, """
            + LIVING_TEAM
            + """, %(data)s::json, %(public)s::boolean, %(state)s::text
                   where """
            + BY_ACTOR
            + " returning *)"
            + first_secret(REMOTECIS)
            + " select row_to_json(r) from (select "
            + REMOTECI_COLUMNS
            + SHOWN
            + " from created as remotecis) as r",
            actor_id=str(caller.id),
            id=remoteci_id,
            name=new.name,
            team_id=new.team_id,
            data=bytes(new.data),
            public=new.public,
            state=new.state,
            **secret.params,
        )
    )


async def update_remoteci(
    db: Connection, remoteci_id: UUID, etag: str, changes: ChangedRemoteci, changeable: Condition
) -> Change:
    """Archived, it loses what it loses by a deletion (decision 31)."""
    return await change_row(
        db,
        "remotecis",
        REMOTECI_COLUMNS,
        remoteci_id,
        etag,
        assignments(changes, _ASSIGNED),
        allowed=changeable,
        effects=_GONE_WITH_IT if changes.state == "archived" else "",
    )


async def archive_remoteci(db: Connection, remoteci_id: UUID, etag: str, changeable: Condition) -> Change:
    return await change_row(
        db,
        "remotecis",
        REMOTECI_COLUMNS,
        remoteci_id,
        etag,
        Assignments([ARCHIVE], {}),
        allowed=changeable,
        effects=_GONE_WITH_IT,
    )


async def find_data(db: Connection, remoteci_id: UUID) -> Record | None:
    """`team_id` and `data`; None for no such remoteci."""
    return await fetch_row(
        db, "select team_id, data from remotecis where id = %(id)s::uuid and state <> 'archived'", id=remoteci_id
    )


async def list_subscribers(db: Connection, remoteci_id: UUID) -> Record | None:
    """`team_id`, and `users` as the whole answer; None for no such remoteci."""
    return await fetch_row(
        db,
        """select remotecis.team_id, (
               select json_build_object('users', coalesce(json_agg(row_to_json(u)), '[]'::json),
                                        '_meta', json_build_object('count', count(*)))
               from ("""
        + _SUBSCRIBERS
        + """) as u) as users
           from remotecis where id = %(id)s::uuid and state <> 'archived'""",
        id=remoteci_id,
    )


async def subscribe(db: Connection, remoteci_id: UUID, user_id: UUID, allowed: Condition) -> Record:
    """Whether both exist and whether it is allowed; subscribed when nothing spoke against it."""
    return await _change_subscription(
        db,
        remoteci_id,
        user_id,
        allowed,
        """insert into users_remotecis (user_id, remoteci_id)
           select subscriber.id, remoteci.id from subscriber, remoteci where is_allowed on conflict do nothing""",
    )


async def unsubscribe(db: Connection, remoteci_id: UUID, user_id: UUID, allowed: Condition) -> Record:
    """The same facts; afterwards there is no subscription."""
    return await _change_subscription(
        db,
        remoteci_id,
        user_id,
        allowed,
        """delete from users_remotecis using subscriber, remoteci
           where user_id = subscriber.id and remoteci_id = remoteci.id and is_allowed""",
    )


async def _change_subscription(
    db: Connection, remoteci_id: UUID, user_id: UUID, allowed: Condition, change: LiteralString
) -> Record:
    row = await fetch_row(
        db,
        "with remoteci as (select id, ("
        + allowed.sql
        + """) as is_allowed from remotecis where id = %(remoteci_id)s::uuid and state <> 'archived'),
        subscriber as (select id from users where id = %(user_id)s::uuid and state <> 'archived'),
        done as ("""
        + change
        + """)
        select exists (select from remoteci) as remoteci_is_known, exists (select from subscriber) as user_is_known,
               coalesce((select is_allowed from remoteci), false) as is_allowed""",
        remoteci_id=remoteci_id,
        user_id=user_id,
        **allowed.params,
    )
    assert row is not None
    return row
