# SPDX-License-Identifier: Apache-2.0
"""What happens when a user changes."""

from uuid import UUID

import msgspec
from msgspec import UNSET

from dci_server.features.users import access, queries
from dci_server.features.users.model import ChangedProfile, ChangedUser, NewUser, UserColumns, require_plain_texts
from dci_server.foundation.auth.authenticator import Authenticator
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, Record, refusing_duplicates
from dci_server.foundation.database.sql import EVERYTHING, Condition
from dci_server.foundation.errors import ApiError, Conflict, Malformed, NotAuthorized, NotFound

LAST_SUPER_ADMIN = "the user is the last active super admin; make somebody else one first"
_NOT_UPDATED = "update failed, either user not found or etag not matched"
_NOT_DELETED = "delete failed, either user already deleted or etag not matched"


async def create_user(db: Connection, authenticator: Authenticator, new: NewUser, login: str) -> Json[UserColumns]:
    """In no team, named `login` unless the body says otherwise. Without a password there is only single sign-on."""
    require_plain_texts(new)
    password_hash = await authenticator.hash_password(new.password) if new.password else None
    with refusing_duplicates():
        return await queries.insert_user(db, new, login, password_hash)


async def change_user(
    db: Connection, authenticator: Authenticator, user_id: UUID, etag: str, changes: ChangedUser
) -> Json[UserColumns]:
    """Archived users too: this is the way back (conventions §13). An unknown one is told like a stale etag."""
    require_plain_texts(changes)
    # An empty password would let everybody in who knows the name.
    password = await authenticator.hash_password(changes.password) if changes.password else UNSET
    changes = msgspec.structs.replace(changes, password=password)
    with refusing_duplicates("update"):
        change = await queries.update_user(db, user_id, etag, changes, EVERYTHING, archived_too=True)
    if not change.is_known:
        raise Conflict(_NOT_UPDATED)
    user = change.require("user", stale=Conflict(_NOT_UPDATED), impossible=Conflict(LAST_SUPER_ADMIN))
    authenticator.forget()
    return user


async def delete_user(
    db: Connection, authenticator: Authenticator, user_id: UUID, etag: str, deletable: Condition
) -> None:
    """Memberships and subscriptions stay, for a user who comes back."""
    change = await queries.update_user(db, user_id, etag, ChangedUser(state="archived"), deletable)
    change.require("user", stale=Conflict(_NOT_DELETED), impossible=Conflict(LAST_SUPER_ADMIN))
    authenticator.forget()


async def change_profile(
    db: Connection, authenticator: Authenticator, caller: Identity, etag: str, changes: ChangedProfile
) -> Json[UserColumns]:
    """Empty texts keep what is stored: a command-line client sends them for what was not given."""
    if not access.ONESELF.allows(caller, True):
        raise NotFound("user")
    require_plain_texts(changes)
    await _require_current_password(db, authenticator, caller, changes)
    password = await authenticator.hash_password(changes.new_password) if changes.new_password else UNSET
    changes = msgspec.structs.replace(
        changes,
        new_password=password,
        fullname=changes.fullname or UNSET,
        timezone=changes.timezone or UNSET,
    )
    with refusing_duplicates("update"):
        change = await queries.update_profile(db, caller.id, etag, changes)
    user = change.require("user", stale=Conflict(_NOT_UPDATED))
    authenticator.forget()
    return user


async def _require_current_password(
    db: Connection, authenticator: Authenticator, caller: Identity, changes: ChangedProfile
) -> None:
    """Whatever the role (decision 10). Should the password change before the write, so does the etag."""
    found = await queries.find_password(db, caller.id)
    if found is None:
        raise NotFound("user")
    stored = found["password_hash"]
    if stored is None:
        return
    if isinstance(changes.current_password, msgspec.UnsetType):
        raise Malformed(["'current_password' is a required property"])
    if not await authenticator.is_password(stored, changes.current_password, caller):
        raise ApiError("current_password invalid")


async def add_member(
    db: Connection, authenticator: Authenticator, team_id: UUID, user_id: UUID, changeable: Condition
) -> None:
    with refusing_duplicates():
        _require_membership(await queries.insert_member(db, team_id, user_id, changeable))
    authenticator.forget()


async def remove_member(
    db: Connection, authenticator: Authenticator, team_id: UUID, user_id: UUID, changeable: Condition
) -> None:
    """What is not there is removed already (decision 50)."""
    facts = await queries.delete_member(db, team_id, user_id, changeable)
    _require_membership(facts)
    authenticator.forget()


def _require_membership(facts: Record) -> None:
    if not facts["team_is_known"]:
        raise NotFound("team")
    if not facts["is_allowed"]:
        raise NotAuthorized
    if not facts["user_is_known"]:
        raise NotFound("user")
    if not facts["is_possible"]:
        raise Conflict(LAST_SUPER_ADMIN)
