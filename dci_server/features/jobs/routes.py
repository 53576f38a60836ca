# SPDX-License-Identifier: Apache-2.0
"""The URLs of jobs."""

from uuid import UUID

from dci_server.features.components.access import READ as COMPONENT_READ
from dci_server.features.components.actions import require_readable
from dci_server.features.jobs import access, actions, queries
from dci_server.features.jobs.model import (
    ChangedJob,
    JobAnswer,
    JobColumnsAnswer,
    JobsAnswer,
    JobsOfPipelineAnswer,
    JobToUpgrade,
    NewJob,
    ScheduledJob,
)
from dci_server.features.pipelines.access import READ as PIPELINE_READ
from dci_server.features.pipelines.queries import find_team_of
from dci_server.features.topics.actions import require_usable
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, get, header_text, page, post, put


async def list_jobs(call: Call) -> Response:
    """The jobs of the caller's teams, newest first, with what they tested and how it went."""
    listing = call.listing(queries.COLUMNS)
    return page(await queries.list_jobs(call.db, access.visible_to(call.caller), listing))


async def get_job(call: Call) -> Response:
    """One job with its states, its own files and all that lists embed."""
    job = await queries.find_job(call.db, call.id("job_id"), access.visible_to(call.caller))
    if job is None:
        raise NotFound("job")
    return answer("job", job, etag=True)


async def create_job(call: Call) -> Response:
    """A new job of the calling remoteci, with the components it names."""
    new = call.body(NewJob)
    job = await actions.create_job(call.db, call.caller, new, *_client(call))
    return answer("job", job, status=201, etag=True)


async def schedule_job(call: Call) -> Response:
    """A new job of the calling remoteci, with the newest component of each of the topic's types."""
    new = call.body(ScheduledJob)
    job = await actions.schedule_job(call.db, call.caller, new, *_client(call))
    return answer("job", job, status=201, etag=True)


async def change_job(call: Call) -> Response:
    """Changes what the body names; the rest of a job that is sent back is ignored."""
    etag = call.etag()
    changes = call.body(ChangedJob, closed=False)
    job = await actions.change_job(call.db, call.caller, call.id("job_id"), etag, changes)
    return answer("job", job, etag=True)


async def delete_job(call: Call) -> Response:
    """Archives the job and its files."""
    await actions.delete_job(call.db, call.caller, call.id("job_id"), call.etag())
    return NO_CONTENT


async def update_job(call: Call) -> Response:
    """A new job of the same laboratory in the same topic, with its newest components."""
    job = await actions.update_job(call.db, call.caller, call.id("job_id"), *_client(call))
    return answer("job", job, status=201, etag=True)


async def upgrade_job(call: Call) -> Response:
    """A new job of the same laboratory in the topic that comes next."""
    job_id = UUID(call.body(JobToUpgrade).job_id)
    job = await actions.upgrade_job(call.db, call.caller, job_id, *_client(call))
    return answer("job", job, status=201, etag=True)


async def list_jobs_of_component(call: Call) -> Response:
    """The jobs of the caller's teams that used a component, newest first."""
    topic_id, component_id = call.id("topic_id"), call.id("component_id")
    await require_usable(call.db, call.caller, topic_id)
    component = await require_readable(call.db, call.caller, component_id)
    if component["topic_id"] != topic_id:
        raise NotFound("component")
    visible, listing = access.visible_to(call.caller), call.listing(queries.COLUMNS)
    return page(await queries.list_jobs_of_component(call.db, component_id, visible, listing))


async def list_jobs_of_pipeline(call: Call) -> Response:
    """The jobs of a pipeline, oldest first; of other teams' only for those who read everything."""
    team_id = await find_team_of(call.db, call.id("pipeline_id"))
    if team_id is None:
        raise NotFound("pipeline")
    PIPELINE_READ.require_for_team(call.caller, team_id)
    visible = access.visible_to(call.caller)
    return page(await queries.list_jobs_of_pipeline(call.db, call.id("pipeline_id"), visible))


def _client(call: Call) -> tuple[str, str]:
    return header_text(call.headers.get("user-agent", "")), header_text(call.headers.get("client-version", ""))


routes = [
    get("/jobs", list_jobs, JobsAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/jobs", create_job, NewJob, JobColumnsAnswer, who=access.CREATE),
    post("/jobs/upgrade", upgrade_job, JobToUpgrade, JobColumnsAnswer, who=access.CHANGE),
    post("/jobs/{job_id:uuid}/update", update_job, None, JobColumnsAnswer, who=access.CHANGE),
    get("/pipelines/{pipeline_id:uuid}/jobs", list_jobs_of_pipeline, JobsOfPipelineAnswer, who=PIPELINE_READ),
    get(
        "/topics/{topic_id:uuid}/components/{component_id:uuid}/jobs",
        list_jobs_of_component,
        JobsAnswer,
        who=COMPONENT_READ,
        listing=queries.COLUMNS,
    ),
    post("/jobs/schedule", schedule_job, ScheduledJob, JobColumnsAnswer, who=access.CREATE),
    get("/jobs/{job_id:uuid}", get_job, JobAnswer, who=access.READ),
    put("/jobs/{job_id:uuid}", change_job, ChangedJob, JobColumnsAnswer, who=access.CHANGE),
    delete("/jobs/{job_id:uuid}", delete_job, who=access.CHANGE),
]
