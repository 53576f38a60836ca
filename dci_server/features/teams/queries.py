# SPDX-License-Identifier: Apache-2.0
"""The SQL of teams."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.teams.model import NewTeam, Team, TeamColumns
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

STATES = ("active", "inactive", "archived")
COLUMNS: Columns = {
    "country": Column("teams.country", "text"),
    "created_at": Column("teams.created_at", "timestamp"),
    "etag": Column("teams.etag", "text"),
    "external": Column("teams.external", "boolean"),
    "has_pre_release_access": Column("teams.has_pre_release_access", "boolean"),
    "id": Column("teams.id", "uuid"),
    "name": Column("teams.name", "text"),
    "state": Column("teams.state", "enum", members=STATES),
    "updated_at": Column("teams.updated_at", "timestamp"),
}

TEAM_COLUMNS: LiteralString = (
    "teams.id, teams.created_at, teams.updated_at, teams.etag, teams.name, teams.country, teams.external, "
    "teams.has_pre_release_access, teams.state"
)
TEAM: LiteralString = (
    "select "
    + TEAM_COLUMNS
    + """,
    (select coalesce(json_agg(row_to_json(r)), '[]'::json) from (
        select id, created_at, updated_at, etag, name, team_id, data, public, state from remotecis
        where remotecis.team_id = teams.id and remotecis.state <> 'archived' order by created_at, id) as r) as remotecis
"""
)


async def list_teams(db: Connection, visible: Condition, listing: Listing) -> Json[list[Team]]:
    return await fetch_page(db, Team, "teams", TEAM, "teams", visible, listing)


async def find_team(db: Connection, team_id: UUID, visible: Condition) -> Json[Team] | None:
    return await fetch_one(db, Team, TEAM + " from teams", by_id("teams", team_id), visible)


async def insert_team(db: Connection, new: NewTeam) -> Json[TeamColumns]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into teams (name, country, external, has_pre_release_access, state)
                   values (%(name)s::text, %(country)s::text, %(external)s::boolean, %(pre_release)s::boolean,
                           %(state)s::text)
                   returning *)
               select row_to_json(t) from (select """
            + TEAM_COLUMNS
            + " from created as teams) as t",
            name=new.name,
            country=new.country,
            external=new.external,
            pre_release=new.has_pre_release_access,
            state=new.state,
        )
    )
