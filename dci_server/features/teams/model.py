# SPDX-License-Identifier: Apache-2.0
"""The shapes of a team."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.foundation.shapes import Count, Id, State


class TeamColumns(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    country: str | None
    external: bool
    has_pre_release_access: bool
    state: State


class RemoteciOfTeam(Struct, frozen=True, kw_only=True):
    """A laboratory of the team; its secret is never shown here."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    team_id: str
    data: dict[str, Any]
    public: bool
    state: State
    last_auth_at: str | None


class Team(TeamColumns, frozen=True, kw_only=True):
    remotecis: list[RemoteciOfTeam]


class NewTeam(Struct, frozen=True, kw_only=True):
    name: str
    country: str | None = None
    state: State = "active"
    external: bool = False
    has_pre_release_access: bool = False


class ChangedTeam(Struct, frozen=True, kw_only=True):
    """What PUT may change; the rest of a team that is sent back is ignored."""

    name: str | UnsetType = UNSET
    country: str | UnsetType | None = UNSET
    state: State | UnsetType = UNSET
    external: bool | UnsetType = UNSET
    has_pre_release_access: bool | UnsetType = UNSET


class OtherTeams(Struct, frozen=True, kw_only=True):
    """The teams whose components the team may read, or no longer."""

    teams_ids: list[Id] = []


class TeamAnswer(Struct):
    team: Team


class TeamColumnsAnswer(Struct):
    team: TeamColumns


class TeamsAnswer(Struct):
    teams: list[Team]
    meta: Count = msgspec.field(name="_meta")


class TeamsColumnsAnswer(Struct):
    teams: list[TeamColumns]
    meta: Count = msgspec.field(name="_meta")
