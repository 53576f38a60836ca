# SPDX-License-Identifier: Apache-2.0
"""The SQL of users, and of who is in which team."""

from collections.abc import Mapping
from typing import LiteralString
from uuid import UUID

from msgspec import UNSET

from dci_server.features.teams.model import RemoteciOfTeam, TeamColumns
from dci_server.features.teams.queries import REMOTECI_COLUMNS, STATES, TEAM_COLUMNS
from dci_server.features.users.model import ChangedProfile, ChangedUser, NewUser, User, UserColumns
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
from dci_server.foundation.database.sql import EVERYTHING, Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "created_at": Column("users.created_at", "timestamp"),
    "email": Column("users.email", "text"),
    "etag": Column("users.etag", "text"),
    "fullname": Column("users.fullname", "text"),
    "id": Column("users.id", "uuid"),
    "name": Column("users.name", "text"),
    "password": Column("null", "text", secret=True),
    "sso_sub": Column("users.sso_sub", "text"),
    "sso_username": Column("users.sso_username", "text"),
    "state": Column("users.state", "enum", members=STATES),
    "timezone": Column("users.timezone", "text"),
    "updated_at": Column("users.updated_at", "timestamp"),
}

USER_COLUMNS: LiteralString = (
    "users.id, users.created_at, users.updated_at, users.etag, users.name, users.fullname, users.email, "
    "coalesce(users.sso_username, '') as sso_username, users.sso_sub, users.timezone, users.state, users.last_auth_at"
)
_TEAMS: LiteralString = (
    "(select coalesce(json_agg(row_to_json(t)), '[]'::json) from (select "
    + TEAM_COLUMNS
    + """ from teams join users_teams on users_teams.team_id = teams.id
        where users_teams.user_id = users.id and teams.state <> 'archived' order by teams.created_at, teams.id) as t)"""
)
_REMOTECIS: LiteralString = (
    "(select coalesce(json_agg(row_to_json(r)), '[]'::json) from (select "
    + REMOTECI_COLUMNS
    + """ from remotecis join users_remotecis on users_remotecis.remoteci_id = remotecis.id
        where users_remotecis.user_id = users.id and remotecis.state <> 'archived'
        order by remotecis.created_at, remotecis.id) as r)"""
)
USER: LiteralString = "select " + USER_COLUMNS + ", " + _TEAMS + " as team, " + _REMOTECIS + " as remotecis"


async def list_users(db: Connection, visible: Condition, listing: Listing) -> Json[list[User]]:
    return await fetch_page(db, User, "users", USER, "users", visible, listing)


async def find_user(db: Connection, user_id: UUID, visible: Condition) -> Json[User] | None:
    return await fetch_one(db, User, USER + " from users", by_id("users", user_id), visible)


async def list_remotecis_of(db: Connection, user_id: UUID) -> Json[list[RemoteciOfTeam]] | None:
    """Those the user subscribed to; None when there is no such user."""
    return await fetch_json(
        db,
        list[RemoteciOfTeam],
        "select json_build_object('remotecis', " + _REMOTECIS + ") from users"
        " where users.id = %(user_id)s::uuid and users.state <> 'archived'",
        user_id=user_id,
    )


async def list_teams_of(db: Connection, user_id: UUID) -> Json[list[TeamColumns]] | None:
    """None when there is no such user."""
    return await fetch_json(
        db,
        list[TeamColumns],
        "select json_build_object('teams', teams, '_meta', json_build_object('count', json_array_length(teams)))"
        " from (select " + _TEAMS + " as teams from users"
        " where users.id = %(user_id)s::uuid and users.state <> 'archived') as found",
        user_id=user_id,
    )


async def insert_user(db: Connection, new: NewUser, login: str, password_hash: str | None) -> Json[UserColumns]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into users (name, fullname, email, sso_username, password_hash, timezone, state)
                   values (%(name)s::text, %(fullname)s::text, %(email)s::text, %(sso_username)s::text,
                           %(password_hash)s::text, %(timezone)s::text, %(state)s::text)
                   returning *)
               select row_to_json(u) from (select """
            + USER_COLUMNS
            + " from created as users) as u",
            name=login if new.name is UNSET else new.name,
            fullname=login if new.fullname is UNSET else new.fullname,
            email=new.email or None,
            sso_username=new.sso_username or None,
            password_hash=password_hash,
            timezone=new.timezone,
            state=new.state,
        )
    )


async def find_password(db: Connection, user_id: UUID) -> Record | None:
    """The hash, null for a user who has no password."""
    return await fetch_row(
        db,
        "select password_hash from users where id = %(user_id)s::uuid and state <> 'archived'",
        user_id=user_id,
    )


_ASSIGNED: Mapping[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "fullname": "fullname = %(fullname)s::text",
    "timezone": "timezone = %(timezone)s::text",
    "email": "email = %(email)s::text",
    "sso_username": "sso_username = nullif(%(sso_username)s::text, '')",
    "sso_sub": "sso_sub = %(sso_sub)s::text",
    "password": "password_hash = %(password)s::text",
    "state": "state = %(state)s::text",
}
_ASSIGNED_BY_ONESELF: Mapping[str, LiteralString] = {
    "new_password": "password_hash = %(new_password)s::text",
    "fullname": "fullname = %(fullname)s::text",
    "timezone": "timezone = %(timezone)s::text",
    "email": "email = %(email)s::text",
}

# Locks who is super admin, in one order, before looking whether somebody else is: of two removals at a time the second
# waits, and sees what the first one left.
_SUPER_ADMINS: LiteralString = """(
    select coalesce(array_agg(locked.id), '{}') as ids from (
        select admins.id from users as admins
        join users_teams as memberships on memberships.user_id = admins.id
        join teams as admin_team on admin_team.id = memberships.team_id
        where admin_team.role = 'super_admin' and admins.state = 'active'
        order by admins.id for no key update of admins, memberships) as locked) as super_admins"""
ANOTHER_SUPER_ADMIN = Condition(
    "(select users.id <> all(super_admins.ids) or cardinality(super_admins.ids) > 1 from " + _SUPER_ADMINS + ")"
)


async def update_user(
    db: Connection, user_id: UUID, etag: str, changes: ChangedUser, allowed: Condition, *, archived_too: bool = False
) -> Change:
    """`password` is a hash here."""
    ends = changes.state in ("inactive", "archived")
    return await change_row(
        db,
        "users",
        USER_COLUMNS,
        user_id,
        etag,
        assignments(changes, _ASSIGNED),
        allowed=allowed,
        possible=ANOTHER_SUPER_ADMIN if ends else EVERYTHING,
        archived_too=archived_too,
    )


async def update_profile(db: Connection, user_id: UUID, etag: str, changes: ChangedProfile) -> Change:
    """`new_password` is a hash here."""
    return await change_row(db, "users", USER_COLUMNS, user_id, etag, assignments(changes, _ASSIGNED_BY_ONESELF))


# --- who is in which team ---


async def list_users_of_team(db: Connection, team_id: UUID) -> Json[list[UserColumns]] | None:
    """None when there is no such team."""
    return await fetch_json(
        db,
        list[UserColumns],
        """select json_build_object('users', users, '_meta', json_build_object('count', json_array_length(users)))
           from (select (select coalesce(json_agg(row_to_json(u)), '[]'::json) from (select """
        + USER_COLUMNS
        + """ from users join users_teams on users_teams.user_id = users.id
                where users_teams.team_id = teams.id and users.state <> 'archived' order by users.created_at, users.id) as u)
                as users
            from teams where teams.id = %(team_id)s::uuid and teams.state <> 'archived') as found""",
        team_id=team_id,
    )


_MEMBERSHIP: LiteralString = """
    with team as (
        select teams.id, teams.role, ("""
_MEMBERSHIP_OF: LiteralString = """) as is_allowed
        from teams where teams.id = %(team_id)s::uuid and teams.state <> 'archived'
    ), member as (
        select users.id from users where users.id = %(user_id)s::uuid and users.state <> 'archived'
    ), """
_MEMBERSHIP_FACTS: LiteralString = """
    select exists (select from team) as team_is_known, exists (select from member) as user_is_known,
           coalesce((select is_allowed from team), false) as is_allowed"""


async def insert_member(db: Connection, team_id: UUID, user_id: UUID, changeable: Condition) -> Record:
    """Whether both exist and the caller may; then the user is in the team, whether or not it was so before.

    From now on it is so by a person's word, and no token takes it back.
    """
    return await _write_membership(
        db,
        _MEMBERSHIP
        + changeable.sql
        + _MEMBERSHIP_OF
        + """added as (
            insert into users_teams (user_id, team_id) select member.id, team.id from team, member where team.is_allowed
            on conflict (user_id, team_id) do update set by_sso = false)"""
        + _MEMBERSHIP_FACTS
        + ", true as is_possible",
        team_id,
        user_id,
        changeable,
    )


async def delete_member(db: Connection, team_id: UUID, user_id: UUID, changeable: Condition) -> Record:
    """Whether both exist, the caller may, and the user is not the last super admin; then they are no member."""
    return await _write_membership(
        db,
        _MEMBERSHIP
        + changeable.sql
        + _MEMBERSHIP_OF
        + """decided as (
            select team.id as team_id, users.id as user_id,
                   case when team.role = 'super_admin' then """
        + ANOTHER_SUPER_ADMIN.sql
        + """ else true end as is_possible
            from team, member as users where team.is_allowed
        ), removed as (
            delete from users_teams using decided
            where users_teams.team_id = decided.team_id and users_teams.user_id = decided.user_id and decided.is_possible)"""
        + _MEMBERSHIP_FACTS
        + ", coalesce((select is_possible from decided), true) as is_possible",
        team_id,
        user_id,
        changeable,
    )


async def _write_membership(
    db: Connection, sql: LiteralString, team_id: UUID, user_id: UUID, changeable: Condition
) -> Record:
    row = await fetch_row(db, sql, team_id=team_id, user_id=user_id, **changeable.params)
    assert row is not None
    return row
