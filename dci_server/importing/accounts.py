# SPDX-License-Identifier: Apache-2.0
"""How teams, users, remotecis, feeders and their links come over."""

from dci_server.importing.steps import (
    BY_AGE,
    DATA,
    ESSENTIAL,
    ID_AND_TIMES,
    NO_STATE,
    STANDARD,
    STANDARD_NAMES,
    STANDARD_VALUES,
    Change,
    Column,
    Finish,
    Step,
    shortened,
    without,
)

NO_TEAM = "00000000-0000-0000-0000-000000000000"

TEAMS = Step(
    name="teams",
    table="teams",
    is_essential=True,
    essential=ESSENTIAL | {"name"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("country", "text"),
        Column("external", "boolean"),
        Column("has_pre_release_access", "boolean"),
    ),
    key=BY_AGE,
    changes=(NO_STATE, shortened("name")),
    write="insert into teams (" + STANDARD_NAMES + """, name, country, external, has_pre_release_access)
        select """ + STANDARD_VALUES + """, left(s.name, 255), left(s.country, 255), coalesce(s.external, true),
               coalesce(s.has_pre_release_access, false)
        from staged as s order by s.n""",
    finishes=(
        Finish(
            """update teams set role = roles.role
               from (values ('admin', 'super_admin'), ('Red Hat', 'read_only'), ('EPM', 'epm')) as roles (name, role)
               where teams.name = roles.name and teams.role is null
               returning teams.name"""
        ),
        Finish(
            "update teams set state = 'active' where role is not null and state <> 'active' returning name",
            "changed",
            "a team with a role was not active, which would have left the role to nobody: active",
        ),
        Finish(
            """insert into teams (name, role) values ('Red Hat', 'read_only'), ('EPM', 'epm')
               on conflict do nothing returning name""",
            "added",
            "a team with a role was missing",
        ),
        # The only user by now, if any, is the administrator that this hub was provisioned with.
        Finish(
            """insert into users_teams (user_id, team_id)
               select users.id, teams.id from users, teams where teams.role = 'super_admin'
               on conflict do nothing returning user_id::text""",
            "noted",
            "the administrator of this hub stays, in the imported team admin",
        ),
    ),
)  # fmt: skip

USERS = Step(
    name="users",
    table="users",
    is_essential=True,
    essential=ESSENTIAL | {"name", "password"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("fullname", "text"),
        Column("email", "text"),
        Column("sso_username", "text"),
        Column("sso_sub", "text"),
        Column("password", "text"),
        Column("timezone", "text"),
        Column("last_auth_at", "timestamp"),
    ),
    key=BY_AGE,
    changes=(
        NO_STATE,
        shortened("name"),
        Change("noted", "the user has no password: single sign-on, or a new password", "s.password is null", "s.name"),
        Change(
            "noted",
            "the password is kept in a form that is not known here: the user needs a new one",
            r"s.password !~ '^\$(5|6|argon2id?)\$'",
            "s.name",
        ),
    ),
    write="insert into users (" + STANDARD_NAMES + """, name, fullname, email, sso_username, sso_sub, password_hash,
                              timezone, last_auth_at)
        select """ + STANDARD_VALUES + """, left(s.name, 255), left(coalesce(s.fullname, s.name), 255), s.email,
               s.sso_username, s.sso_sub, s.password, coalesce(s.timezone, 'UTC'), s.last_auth_at
        from staged as s order by s.n""",
)  # fmt: skip

USERS_TEAMS = Step(
    name="users_teams",
    table="users_teams",
    is_essential=True,
    essential=frozenset({"user_id", "team_id"}),
    # The table has no key, and the same user may be there several times without a team.
    source="(select user_id, team_id, count(*) as copies from users_teams group by user_id, team_id)",
    columns=(
        Column("user_id", "uuid"),
        Column("team_key", "uuid", "coalesce(t.team_id, '" + NO_TEAM + "'::uuid)"),
        Column("team_id", "uuid"),
        Column("copies", "bigint", "t.copies"),
    ),
    key=("user_id", "team_key"),
    changes=(
        Change(
            "skipped",
            "a membership without a team; if it meant rights over all teams, put the user into the team admin",
            "s.team_id is null",
            "(select users.name from users where users.id = s.user_id)",
            "sum(s.copies)",
        ),
        Change(
            "changed",
            "a membership was there several times: kept once",
            "s.team_id is not null and s.copies > 1",
            "s.user_id || ' ' || s.team_id",
            "sum(s.copies - 1)",
        ),
    ),
    write="insert into users_teams (user_id, team_id) select s.user_id, s.team_id from staged as s order by s.n",
)

TEAMS_COMPONENTS_ACCESS = Step(
    name="teams_components_access",
    table="teams_components_access",
    columns=(Column("team_id", "uuid"), Column("access_team_id", "uuid")),
    key=("team_id", "access_team_id"),
    write="""insert into teams_components_access (team_id, access_team_id)
             select s.team_id, s.access_team_id from staged as s order by s.n""",
)

_NAMELESS = Change("changed", "it had no name: named after its id", "s.name is null")

REMOTECIS = Step(
    name="remotecis",
    table="remotecis",
    is_essential=True,
    essential=ESSENTIAL | {"name", "team_id", "api_secret"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("team_id", "uuid"),
        Column("data", "json"),
        Column("public", "boolean"),
        Column("last_auth_at", "timestamp"),
    ),
    key=BY_AGE,
    changes=(
        NO_STATE,
        shortened("name"),
        _NAMELESS,
        without("teams", "team_id", "its team is not there"),
    ),
    write="insert into remotecis (" + STANDARD_NAMES + """, name, team_id, data, public, last_auth_at)
        select """ + STANDARD_VALUES + """, left(coalesce(s.name, 'remoteci ' || s.id), 255), s.team_id,
               """ + DATA + """, coalesce(s.public, false), s.last_auth_at
        from staged as s order by s.n""",
)  # fmt: skip

FEEDERS = Step(
    name="feeders",
    table="feeders",
    essential=ESSENTIAL | {"name", "team_id", "api_secret"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("team_id", "uuid"),
        Column("data", "json"),
        Column("last_auth_at", "timestamp"),
    ),
    key=BY_AGE,
    changes=(
        NO_STATE,
        shortened("name"),
        _NAMELESS,
        without("teams", "team_id", "its team is not there"),
    ),
    write="insert into feeders (" + STANDARD_NAMES + """, name, team_id, data, last_auth_at)
        select """ + STANDARD_VALUES + """, left(coalesce(s.name, 'feeder ' || s.id), 255), s.team_id,
               """ + DATA + """, s.last_auth_at
        from staged as s order by s.n""",
)  # fmt: skip

USER_REMOTECIS = Step(
    name="user_remotecis",
    table="user_remotecis",
    columns=(Column("user_id", "uuid"), Column("remoteci_id", "uuid")),
    key=("user_id", "remoteci_id"),
    changes=(without("remotecis", "remoteci_id", "its remoteci is not there", "s.user_id || ' ' || s.remoteci_id"),),
    write="""insert into users_remotecis (user_id, remoteci_id)
             select s.user_id, s.remoteci_id from staged as s order by s.n""",
)

LOGS = Step(
    name="logs",
    table="logs",
    columns=(*ID_AND_TIMES, Column("user_id", "uuid"), Column("action", "text")),
    essential=ESSENTIAL | {"user_id", "action"},
    key=BY_AGE,
    write="""insert into audits (id, created_at, user_id, action)
             select s.id, s.created_at, s.user_id, s.action from staged as s order by s.n""",
)
