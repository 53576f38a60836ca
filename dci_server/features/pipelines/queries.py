# SPDX-License-Identifier: Apache-2.0
"""The SQL of pipelines."""

from collections.abc import Mapping
from typing import LiteralString
from uuid import UUID

from dci_server.features.pipelines.model import ChangedPipeline, NewPipeline, PipelineColumns, PipelineWithTeam
from dci_server.features.teams.queries import STATES, TEAM_COLUMNS
from dci_server.foundation.database.changes import Change, assignments, change_row
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    by_id,
    fetch_one,
    fetch_page,
    fetch_value,
)
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "created_at": Column("pipelines.created_at", "timestamp"),
    "etag": Column("pipelines.etag", "text"),
    "id": Column("pipelines.id", "uuid"),
    "name": Column("pipelines.name", "text"),
    "state": Column("pipelines.state", "enum", members=STATES),
    "team_id": Column("pipelines.team_id", "uuid"),
    "updated_at": Column("pipelines.updated_at", "timestamp"),
}

PIPELINE_COLUMNS: LiteralString = (
    "pipelines.id, pipelines.created_at, pipelines.updated_at, pipelines.etag, pipelines.name, pipelines.state, "
    "pipelines.team_id"
)
_PIPELINE: LiteralString = (
    "select "
    + PIPELINE_COLUMNS
    + ", (select row_to_json(t) from (select "
    + TEAM_COLUMNS
    + " from teams where teams.id = pipelines.team_id) as t) as team"
)
_CHANGING: Mapping[str, LiteralString] = {"name": "name = %(name)s::text", "state": "state = %(state)s::text"}


async def list_pipelines(db: Connection, visible: Condition, listing: Listing) -> Json[list[PipelineWithTeam]]:
    return await fetch_page(db, PipelineWithTeam, "pipelines", _PIPELINE, "pipelines", visible, listing)


async def find_pipeline(db: Connection, pipeline_id: UUID, visible: Condition) -> Json[PipelineWithTeam] | None:
    return await fetch_one(
        db, PipelineWithTeam, _PIPELINE + " from pipelines", by_id("pipelines", pipeline_id), visible
    )


async def find_team_of(db: Connection, pipeline_id: UUID) -> UUID | None:
    """None for a pipeline that does not exist or is archived."""
    return await fetch_value(
        db, "select team_id from pipelines where id = %(id)s::uuid and state <> 'archived'", id=pipeline_id
    )


async def insert_pipeline(db: Connection, new: NewPipeline) -> Json[PipelineColumns]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into pipelines (name, team_id, state)
                   values (%(name)s::text, %(team_id)s::uuid, %(state)s::text) returning *)
               select row_to_json(p) from (select """
            + PIPELINE_COLUMNS
            + " from created as pipelines) as p",
            name=new.name,
            team_id=new.team_id,
            state=new.state,
        )
    )


async def update_pipeline(
    db: Connection, pipeline_id: UUID, etag: str, changes: ChangedPipeline, changeable: Condition
) -> Change:
    """DELETE is a change of state (decision 31)."""
    changed = assignments(changes, _CHANGING)
    return await change_row(db, "pipelines", PIPELINE_COLUMNS, pipeline_id, etag, changed, allowed=changeable)
