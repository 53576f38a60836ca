# SPDX-License-Identifier: Apache-2.0
"""The shapes of a user."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.teams.model import RemoteciOfTeam, TeamColumns
from dci_server.foundation.errors import Malformed
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.shapes import Count, Email, State


class UserColumns(Struct, frozen=True, kw_only=True):
    """What is told of a user. Nothing of the password, not even whether there is one."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    fullname: str
    email: str | None
    # quirk: "" for none, because a screen can't save a null (decision 53).
    sso_username: str
    sso_sub: str | None
    timezone: str
    state: State
    last_auth_at: str | None


class User(UserColumns, frozen=True, kw_only=True):
    """With the teams, and the remotecis of whose failures the user is told."""

    team: list[TeamColumns]
    remotecis: list[RemoteciOfTeam]


class NewUser(Struct, frozen=True, kw_only=True):
    """`email` or `sso_username` is needed; what else is missing is made of them."""

    email: Email | UnsetType = UNSET
    sso_username: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    fullname: str | UnsetType = UNSET
    timezone: str = "UTC"
    password: str = ""
    state: State = "active"

    @property
    def login(self) -> str:
        """What `name` and `fullname` are when they are not given."""
        for given in (self.email, self.sso_username):
            if given:
                return given
        raise Malformed(["the body is not valid under any of the given schemas: give email or sso_username"])


class ChangedUser(Struct, frozen=True, kw_only=True):
    """What an administrator may change; the rest of a user that is sent back is ignored."""

    name: str | UnsetType = UNSET
    fullname: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    sso_username: str | UnsetType | None = UNSET
    sso_sub: str | UnsetType | None = UNSET
    password: str | UnsetType = UNSET
    state: State | UnsetType = UNSET


class ChangedProfile(Struct, frozen=True, kw_only=True):
    """What users may change of themselves; who has a password proves it with `current_password`."""

    current_password: str | UnsetType = UNSET
    new_password: str | UnsetType = UNSET
    fullname: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    email: Email | UnsetType = UNSET


def require_plain_texts(body: NewUser | ChangedUser | ChangedProfile) -> None:
    for field in ("name", "fullname", "timezone", "email", "sso_username", "sso_sub"):
        require_plain_name(field, getattr(body, field, None))


class UserAnswer(Struct):
    user: User


class UserColumnsAnswer(Struct):
    user: UserColumns


class UsersAnswer(Struct):
    users: list[User]
    meta: Count = msgspec.field(name="_meta")


class UsersColumnsAnswer(Struct):
    users: list[UserColumns]
    meta: Count = msgspec.field(name="_meta")


class RemotecisOfUserAnswer(Struct):
    """There is no `_meta` here."""

    remotecis: list[RemoteciOfTeam]
