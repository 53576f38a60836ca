# SPDX-License-Identifier: Apache-2.0
"""The user behind a token: found, linked, brought up to date, or created (auth §5.5, decision 29)."""

from collections.abc import Callable
from uuid import UUID

from dci_server.foundation.auth.bearer import CANNOT_CREATE, SsoLogin
from dci_server.foundation.database.connection import Connection, Record, fetch_row, fetch_value, refusing_duplicates
from dci_server.foundation.errors import Conflict, NotAuthenticated

_ROUNDS = 3
"""Two processes may meet the same person at once: the second finds, on its next look, what the first has made."""

# The subject wins: a user who was renamed at the provider is still the same one.
_FIND = """
    select users.id, users.email, users.sso_sub, users.sso_claims_at,
           team.id is not null as is_member, coalesce(team.by_sso, false) as is_member_by_sso
    from users
    left join lateral (
        select teams.id, by_sso from users_teams join teams on teams.id = users_teams.team_id
        where users_teams.user_id = users.id and teams.role = 'read_only') as team on true
    where users.state = 'active' and (users.sso_sub = %(subject)s::text or users.sso_username = %(username)s::text)
    order by users.sso_sub = %(subject)s::text desc nulls last limit 1
"""

# `do nothing` without a target: whatever stands in the way, a name, an e-mail, a subject, nobody is created.
_CREATE = """
    with created as (
        insert into users (name, sso_username, fullname, email, sso_sub, timezone, sso_claims_at)
        values (%(username)s::text, %(username)s::text, %(fullname)s::text, %(email)s::text, %(kept_subject)s::text, 'UTC',
                %(issued_at)s::timestamp)
        on conflict do nothing
        returning id
    ), joined as (
        insert into users_teams (user_id, team_id, by_sso)
        select created.id, teams.id, true from created, teams where teams.role = 'read_only' and %(is_read_only)s::boolean
    )
    select id from created
"""

# What a person gave, a token does not take away: only membership that a token gave ends with one.
_UPDATE = """
    with account as (
        select id from users
        where id = %(id)s::uuid and state = 'active' and coalesce(sso_claims_at, '-infinity') <= %(issued_at)s::timestamp
          and (sso_sub is null or sso_sub = %(subject)s::text)
        for no key update
    ), changed as (
        update users set
            email = coalesce(%(email)s::text, email),
            sso_sub = coalesce(sso_sub, %(kept_subject)s::text),
            sso_claims_at = %(issued_at)s::timestamp,
            etag = case when %(is_row_new)s::boolean then new_etag() else etag end,
            updated_at = case when %(is_row_new)s::boolean then utc_now() else updated_at end
        from account where users.id = account.id
    ), joined as (
        insert into users_teams (user_id, team_id, by_sso)
        select account.id, teams.id, true from account, teams
        where teams.role = 'read_only' and %(is_read_only)s::boolean
        on conflict do nothing
    ), parted as (
        delete from users_teams using account, teams
        where users_teams.user_id = account.id and users_teams.team_id = teams.id and teams.role = 'read_only'
          and users_teams.by_sso and not %(is_read_only)s::boolean
    )
    select id from account
"""


async def settle(db: Connection, login: SsoLogin, *, when_changing: Callable[[], None]) -> UUID:
    """The id of an active user who is what the token says; what changed for it is told. Raises NotAuthenticated."""
    for _ in range(_ROUNDS):
        known = await fetch_row(db, _FIND, subject=login.subject, username=login.username)
        if known is None:
            created = await _create(db, login)
            if created is not None:
                return created
            continue
        _require_same_subject(known, login)
        if _is_up_to_date(known, login):
            return known["id"]
        await _update(db, known, login)
        when_changing()
    raise NotAuthenticated(
        CANNOT_CREATE,
        {"error": "another account has this name, e-mail or subject, or is disabled; ask an administrator"},
    )


def _require_same_subject(known: Record, login: SsoLogin) -> None:
    """A name that the provider gave to somebody else does not open the account of who had it before."""
    if known["sso_sub"] is not None and known["sso_sub"] != login.subject:
        raise NotAuthenticated(
            CANNOT_CREATE,
            {"error": "the account of this name belongs to another subject (sub) of the single sign-on; "
                      "ask an administrator"},
        )  # fmt: skip


def _is_up_to_date(known: Record, login: SsoLogin) -> bool:
    if known["sso_claims_at"] is not None and login.issued_at < known["sso_claims_at"]:
        return True  # A newer token has spoken.
    if _changes_row(known, login):
        return False
    return known["is_member"] if login.is_read_only else not known["is_member_by_sso"]


def _changes_row(known: Record, login: SsoLogin) -> bool:
    """A missing e-mail says nothing, so it changes nothing."""
    links = known["sso_sub"] is None and login.keeps_subject and login.subject is not None
    return links or (login.email is not None and login.email != known["email"])


async def _create(db: Connection, login: SsoLogin) -> UUID | None:
    return await fetch_value(
        db,
        _CREATE,
        username=login.username,
        fullname=login.fullname,
        email=login.email,
        kept_subject=login.subject if login.keeps_subject else None,
        is_read_only=login.is_read_only,
        issued_at=login.issued_at,
    )


async def _update(db: Connection, known: Record, login: SsoLogin) -> None:
    try:
        with refusing_duplicates("update"):
            await fetch_value(
                db,
                _UPDATE,
                id=known["id"],
                subject=login.subject,
                email=login.email,
                kept_subject=login.subject if login.keeps_subject else None,
                is_read_only=login.is_read_only,
                is_row_new=_changes_row(known, login),
                issued_at=login.issued_at,
            )
    except Conflict as conflict:
        raise NotAuthenticated(conflict.message, conflict.payload) from conflict
