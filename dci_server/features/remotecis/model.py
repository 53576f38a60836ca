# SPDX-License-Identifier: Apache-2.0
"""The shapes of a remoteci."""

import msgspec
from msgspec import Struct

from dci_server.features.teams.model import Count, RemoteciOfTeam, TeamColumns
from dci_server.foundation.shapes import Id, JsonObject, State, empty_object

RemoteciColumns = RemoteciOfTeam


class Subscriber(Struct, frozen=True, kw_only=True):
    """A user who is told of failures."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    fullname: str
    email: str | None
    sso_username: str
    sso_sub: str | None
    timezone: str
    state: State


class Remoteci(RemoteciOfTeam, frozen=True, kw_only=True):
    team: TeamColumns
    users: list[Subscriber]


class RemoteciWithSecret(RemoteciOfTeam, frozen=True, kw_only=True):
    """The secret is shown here, once, and never again (decision 18)."""

    api_secret: str


class NewRemoteci(Struct, frozen=True, kw_only=True):
    name: str
    team_id: Id
    data: JsonObject = msgspec.field(default_factory=empty_object)
    public: bool = False
    state: State = "active"


class RemoteciAnswer(Struct):
    remoteci: Remoteci


class RemoteciWithSecretAnswer(Struct):
    remoteci: RemoteciWithSecret


class RemotecisAnswer(Struct):
    remotecis: list[Remoteci]
    meta: Count = msgspec.field(name="_meta")
