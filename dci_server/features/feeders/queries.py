# SPDX-License-Identifier: Apache-2.0
"""The SQL of feeders."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.feeders.model import ChangedFeeder, Feeder, FeederWithSecret, NewFeeder
from dci_server.features.teams.queries import LIVING_TEAM, STATES
from dci_server.foundation.auth.client_secrets import FEEDERS, SHOWN, NewSecret, first_secret
from dci_server.foundation.database.changes import ARCHIVE, Assignments, Change, assignments, change_row
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
    "created_at": Column("feeders.created_at", "timestamp"),
    "data": Column("feeders.data", "json", secret=True),
    "etag": Column("feeders.etag", "text"),
    "id": Column("feeders.id", "uuid"),
    "last_auth_at": Column("feeders.last_auth_at", "timestamp"),
    "name": Column("feeders.name", "text"),
    "state": Column("feeders.state", "enum", members=STATES),
    "team_id": Column("feeders.team_id", "uuid"),
    "updated_at": Column("feeders.updated_at", "timestamp"),
}

FEEDER_COLUMNS: LiteralString = (
    "feeders.id, feeders.created_at, feeders.updated_at, feeders.etag, feeders.name, feeders.team_id, feeders.data, "
    "feeders.state, feeders.last_auth_at"
)
FEEDER: LiteralString = "select " + FEEDER_COLUMNS

_ASSIGNED: dict[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "team_id": "team_id = " + LIVING_TEAM,
    "data": "data = %(data)s::json",
    "state": "state = %(state)s::text",
}


async def list_feeders(db: Connection, visible: Condition, listing: Listing) -> Json[list[Feeder]]:
    return await fetch_page(db, Feeder, "feeders", FEEDER, "feeders", visible, listing)


async def find_feeder(db: Connection, feeder_id: UUID, *conditions: Condition) -> Json[Feeder] | None:
    return await fetch_one(db, Feeder, FEEDER + " from feeders", by_id("feeders", feeder_id), *conditions)


async def insert_feeder(db: Connection, feeder_id: UUID, new: NewFeeder, secret: NewSecret) -> Json[FeederWithSecret]:
    """The answer carries the secret; the table only what is sealed."""
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into feeders (id, name, team_id, data, state)
                   values (%(id)s::uuid, %(name)s::text, """
            + LIVING_TEAM
            + """, %(data)s::json, %(state)s::text)
                   returning *)"""
            + first_secret(FEEDERS)
            + " select row_to_json(f) from (select "
            + FEEDER_COLUMNS
            + SHOWN
            + " from created as feeders) as f",
            id=feeder_id,
            name=new.name,
            team_id=new.team_id,
            data=bytes(new.data),
            state=new.state,
            **secret.params,
        )
    )


async def update_feeder(
    db: Connection, feeder_id: UUID, etag: str, changes: ChangedFeeder, changeable: Condition
) -> Change:
    return await change_row(
        db, "feeders", FEEDER_COLUMNS, feeder_id, etag, assignments(changes, _ASSIGNED), allowed=changeable
    )


async def archive_feeder(db: Connection, feeder_id: UUID, etag: str, changeable: Condition) -> Change:
    return await change_row(
        db, "feeders", FEEDER_COLUMNS, feeder_id, etag, Assignments([ARCHIVE], {}), allowed=changeable
    )
