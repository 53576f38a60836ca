# SPDX-License-Identifier: Apache-2.0
"""The SQL of teams."""

from collections.abc import Mapping
from typing import LiteralString
from uuid import UUID

from msgspec import UNSET

from dci_server.features.teams.model import ChangedTeam, NewTeam, Team, TeamColumns
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.changes import Change, assignments, change_row
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    by_id,
    fetch_json,
    fetch_one,
    fetch_page,
    fetch_row,
    fetch_value,
)
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.events.actor import BY_ACTOR
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
# For what belongs to a team: one that is not archived, held as it is until the statement is done. Without one the
# database refuses the null, and `refusing_duplicates` says so.
LIVING_TEAM: LiteralString = "(select id from teams where id = %(team_id)s::uuid and state <> 'archived' for share)"
REMOTECI_COLUMNS: LiteralString = (
    "remotecis.id, remotecis.created_at, remotecis.updated_at, remotecis.etag, remotecis.name, remotecis.team_id, "
    "remotecis.data, remotecis.public, remotecis.state, remotecis.last_auth_at"
)
TEAM: LiteralString = (
    "select "
    + TEAM_COLUMNS
    + ", (select coalesce(json_agg(row_to_json(r)), '[]'::json) from (select "
    + REMOTECI_COLUMNS
    + """ from remotecis where remotecis.team_id = teams.id and remotecis.state <> 'archived'
        order by remotecis.created_at, remotecis.id) as r) as remotecis
"""
)


# The jobs that a purge takes: a laboratory may have come from another team, and a pipeline have jobs of one.
OF_ARCHIVED_TEAMS: LiteralString = """(
    jobs.team_id in (select id from teams where state = 'archived')
    or jobs.remoteci_id in
       (select remotecis.id from remotecis join teams on teams.id = remotecis.team_id where teams.state = 'archived')
    or jobs.pipeline_id in
       (select pipelines.id from pipelines join teams on teams.id = pipelines.team_id where teams.state = 'archived'))"""


async def list_teams(db: Connection, visible: Condition, listing: Listing) -> Json[list[Team]]:
    return await fetch_page(db, Team, "teams", TEAM, "teams", visible, listing)


async def find_team(db: Connection, team_id: UUID, visible: Condition) -> Json[Team] | None:
    return await fetch_one(db, Team, TEAM + " from teams", by_id("teams", team_id), visible)


async def insert_team(db: Connection, new: NewTeam, caller: Identity) -> Json[TeamColumns]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into teams (name, country, external, has_pre_release_access, state)
                   select %(name)s::text, %(country)s::text, %(external)s::boolean, %(pre_release)s::boolean,
                          %(state)s::text
                   where """
            + BY_ACTOR
            + """ returning *)
               select row_to_json(t) from (select """
            + TEAM_COLUMNS
            + " from created as teams) as t",
            actor_id=str(caller.id),
            name=new.name,
            country=new.country,
            external=new.external,
            pre_release=new.has_pre_release_access,
            state=new.state,
        )
    )


_ASSIGNED: Mapping[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "country": "country = %(country)s::text",
    "state": "state = %(state)s::text",
    "external": "external = %(external)s::boolean",
    "has_pre_release_access": "has_pre_release_access = %(has_pre_release_access)s::boolean",
}

# What an archived team takes with it (conventions §13): its laboratories and what they reported; its users are let go.
_CASCADE: LiteralString = """
, gone as (select id from changed where state = 'archived'),
archived_remotecis as (
    update remotecis set state = 'archived', etag = new_etag(), updated_at = utc_now()
    from gone where remotecis.team_id = gone.id and remotecis.state <> 'archived'
), archived_jobs as (
    update jobs set state = 'archived', etag = new_etag(), updated_at = utc_now()
    from gone where jobs.team_id = gone.id and jobs.state <> 'archived'
), archived_files as (
    update files set state = 'archived', etag = new_etag(), updated_at = utc_now()
    from gone where files.team_id = gone.id and files.state <> 'archived'
), detached_users as (
    delete from users_teams using gone where users_teams.team_id = gone.id
)"""


async def update_team(db: Connection, team_id: UUID, etag: str, changes: ChangedTeam, allowed: Condition) -> Change:
    """`state: archived` does what deleting does (decision 31)."""
    return await change_row(
        db,
        "teams",
        TEAM_COLUMNS,
        team_id,
        etag,
        assignments(changes, _ASSIGNED),
        allowed=allowed,
        possible=_keeps_role(changes),
        effects=_CASCADE if changes.state == "archived" else "",
    )


def _keeps_role(changes: ChangedTeam) -> Condition:
    """A team with a role keeps its name and stays; without an active admin team nobody would be super admin."""
    kept: LiteralString = "true"
    params: dict[str, object] = {}
    if changes.state == "archived":
        kept = "false"
    elif changes.state == "inactive":
        kept = "teams.role <> 'super_admin'"
    if changes.name is not UNSET:
        kept += " and teams.name = %(name_to_keep)s::text"
        params["name_to_keep"] = changes.name
    return Condition("teams.role is null or (" + kept + ")", params)


async def list_granted_teams(db: Connection, team_id: UUID) -> Json[list[TeamColumns]] | None:
    """The teams whose components this one may read; None when it does not exist."""
    return await fetch_json(
        db,
        list[TeamColumns],
        """select json_build_object('teams', coalesce((select json_agg(row_to_json(t)) from (select """
        + TEAM_COLUMNS
        + """ from teams join teams_components_access on access_team_id = teams.id
                where team_id = reader.id and teams.state <> 'archived' order by teams.created_at, teams.id) as t), '[]'::json),
            '_meta', json_build_object('count', (select count(*) from teams
                join teams_components_access on access_team_id = teams.id
                where team_id = reader.id and teams.state <> 'archived')))
           from teams as reader where reader.id = %(team_id)s::uuid and reader.state <> 'archived'""",
        team_id=team_id,
    )


# Everybody reads their own components anyway: the team's own id is passed over.
_GRANT: LiteralString = """
    with team as (
        select id from teams where id = %(team_id)s::uuid and state <> 'archived'
    ), wanted as (
        select distinct given.id, teams.id as found from unnest(%(teams_ids)s::uuid[]) as given (id)
        left join teams on teams.id = given.id and teams.state <> 'archived' where given.id <> %(team_id)s::uuid
    ), accepted as (
        select team.id as team_id, wanted.found as access_team_id from team, wanted
        where not exists (select from wanted where found is null)
    ), written as ("""
_GRANTED: LiteralString = """)
    select exists (select from team) as team_is_known,
           not exists (select from wanted where found is null) as others_are_known"""


async def grant_components(db: Connection, team_id: UUID, others: list[str]) -> Record:
    """Whether the teams exist; when all do, the team may read the others' components."""
    insert: LiteralString = """insert into teams_components_access (team_id, access_team_id)
        select team_id, access_team_id from accepted on conflict do nothing"""
    return await _write_grants(db, _GRANT + insert + _GRANTED, team_id, others)


async def withdraw_components(db: Connection, team_id: UUID, others: list[str]) -> Record:
    """Whether the teams exist; when all do, the team may not read the others' components."""
    delete: LiteralString = """delete from teams_components_access using accepted
        where teams_components_access.team_id = accepted.team_id
              and teams_components_access.access_team_id = accepted.access_team_id"""
    return await _write_grants(db, _GRANT + delete + _GRANTED, team_id, others)


async def _write_grants(db: Connection, sql: LiteralString, team_id: UUID, others: list[str]) -> Record:
    row = await fetch_row(db, sql, team_id=team_id, teams_ids=others)
    assert row is not None
    return row
