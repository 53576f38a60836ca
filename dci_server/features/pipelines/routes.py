# SPDX-License-Identifier: Apache-2.0
"""The URLs of pipelines; their jobs are listed by the jobs."""

from uuid import UUID

from dci_server.features.pipelines import access, queries
from dci_server.features.pipelines.model import (
    ChangedPipeline,
    NewPipeline,
    PipelineAnswer,
    PipelineColumnsAnswer,
    PipelinesAnswer,
)
from dci_server.foundation.database.connection import refusing_duplicates
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, get, page, post, put
from dci_server.foundation.names import require_plain_name


async def list_pipelines(call: Call) -> Response:
    """The pipelines of the caller's teams."""
    visible = access.visible_to(call.caller)
    return page(await queries.list_pipelines(call.db, visible, call.listing(queries.COLUMNS)))


async def get_pipeline(call: Call) -> Response:
    """A pipeline with its team."""
    pipeline_id = call.id("pipeline_id")
    pipeline = await queries.find_pipeline(call.db, pipeline_id, access.visible_to(call.caller))
    if pipeline is None:
        if await queries.find_team_of(call.db, pipeline_id) is None:
            raise NotFound("pipeline")
        raise NotAuthorized
    return answer("pipeline", pipeline)


async def create_pipeline(call: Call) -> Response:
    """A new pipeline of a team."""
    new = call.body(NewPipeline)
    access.CREATE.require_for_team(call.caller, UUID(new.team_id))
    require_plain_name("name", new.name)
    with refusing_duplicates():
        pipeline = await queries.insert_pipeline(call.db, new)
    return answer("pipeline", pipeline, status=201)


async def change_pipeline(call: Call) -> Response:
    """Changes what the body names."""
    etag = call.etag()
    changes = call.body(ChangedPipeline, closed=False)
    require_plain_name("name", changes.name if isinstance(changes.name, str) else None)
    changeable = access.changeable_by(call.caller)
    change = await queries.update_pipeline(call.db, call.id("pipeline_id"), etag, changes, changeable)
    return answer("pipeline", change.require("pipeline"), etag=True)


async def delete_pipeline(call: Call) -> Response:
    """Archives the pipeline; its jobs stay as they are."""
    changeable, archived = access.changeable_by(call.caller), ChangedPipeline(state="archived")
    change = await queries.update_pipeline(call.db, call.id("pipeline_id"), call.etag(), archived, changeable)
    change.require("pipeline")
    return NO_CONTENT


routes = [
    get("/pipelines", list_pipelines, PipelinesAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/pipelines", create_pipeline, NewPipeline, PipelineColumnsAnswer, who=access.CREATE),
    get("/pipelines/{pipeline_id:uuid}", get_pipeline, PipelineAnswer, who=access.READ),
    put("/pipelines/{pipeline_id:uuid}", change_pipeline, ChangedPipeline, PipelineColumnsAnswer, who=access.CHANGE),
    delete("/pipelines/{pipeline_id:uuid}", delete_pipeline, who=access.CHANGE),
]
