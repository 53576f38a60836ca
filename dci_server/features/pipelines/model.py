# SPDX-License-Identifier: Apache-2.0
"""The shapes of a pipeline."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.teams.model import TeamColumns
from dci_server.foundation.shapes import Count, Id, State


class PipelineColumns(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    state: State
    team_id: str


class PipelineWithTeam(PipelineColumns, frozen=True, kw_only=True):
    team: TeamColumns


class NewPipeline(Struct, frozen=True, kw_only=True):
    name: str
    team_id: Id
    state: State = "active"


class ChangedPipeline(Struct, frozen=True, kw_only=True):
    """What is absent stays: the team too, whatever the body says of it."""

    name: str | UnsetType = UNSET
    state: State | UnsetType = UNSET


class PipelineColumnsAnswer(Struct):
    pipeline: PipelineColumns


class PipelineAnswer(Struct):
    pipeline: PipelineWithTeam


class PipelinesAnswer(Struct):
    pipelines: list[PipelineWithTeam]
    meta: Count = msgspec.field(name="_meta")
