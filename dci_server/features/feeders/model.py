# SPDX-License-Identifier: Apache-2.0
"""The shapes of a feeder."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.foundation.shapes import Count, Id, JsonObject, State, empty_object


class Feeder(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    team_id: str
    data: dict[str, Any]
    state: State
    last_auth_at: str | None


class FeederWithSecret(Feeder, frozen=True, kw_only=True):
    """The secret is shown here, once, and never again (decision 18)."""

    api_secret: str


class NewFeeder(Struct, frozen=True, kw_only=True):
    name: str
    team_id: Id
    data: JsonObject = msgspec.field(default_factory=empty_object)
    state: State = "active"


class ChangedFeeder(Struct, frozen=True, kw_only=True):
    """A client may send back the whole feeder; only these change. `state: archived` is a deletion (decision 31)."""

    name: str | UnsetType = UNSET
    team_id: Id | UnsetType = UNSET
    data: JsonObject | UnsetType = UNSET
    state: State | UnsetType = UNSET


class FeederAnswer(Struct):
    feeder: Feeder


class FeederWithSecretAnswer(Struct):
    feeder: FeederWithSecret


class FeedersAnswer(Struct):
    feeders: list[Feeder]
    meta: Count = msgspec.field(name="_meta")
