# SPDX-License-Identifier: Apache-2.0
"""The shapes of a remoteci."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.teams.model import RemoteciOfTeam, TeamColumns
from dci_server.features.users.model import UserColumns
from dci_server.foundation.shapes import Count, Id, JsonObject, State, empty_object

RemoteciColumns = RemoteciOfTeam


class Remoteci(RemoteciOfTeam, frozen=True, kw_only=True):
    team: TeamColumns
    users: list[UserColumns]


class RemoteciWithSecret(RemoteciOfTeam, frozen=True, kw_only=True):
    """The secret is shown here, once, and never again (decision 18)."""

    api_secret: str


class NewRemoteci(Struct, frozen=True, kw_only=True):
    name: str
    team_id: Id
    data: JsonObject = msgspec.field(default_factory=empty_object)
    public: bool = False
    state: State = "active"


class ChangedRemoteci(Struct, frozen=True, kw_only=True):
    """A client may send back the whole remoteci; only these change. `state: archived` is a deletion (decision 31)."""

    name: str | UnsetType = UNSET
    team_id: Id | UnsetType = UNSET
    data: JsonObject | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    state: State | UnsetType = UNSET


class Subscribed(Struct, frozen=True):
    user_id: str
    remoteci_id: str


class RemoteciAnswer(Struct):
    remoteci: Remoteci


class RemoteciColumnsAnswer(Struct):
    remoteci: RemoteciColumns


class RemoteciWithSecretAnswer(Struct):
    remoteci: RemoteciWithSecret


class RemotecisAnswer(Struct):
    remotecis: list[Remoteci]
    meta: Count = msgspec.field(name="_meta")


class ArchivedRemotecisAnswer(Struct):
    remotecis: list[RemoteciColumns]
    meta: Count = msgspec.field(name="_meta")


class SubscribersAnswer(Struct):
    users: list[UserColumns]
    meta: Count = msgspec.field(name="_meta")


RemoteciData = dict[str, Any]
"""What a laboratory keeps about itself."""
