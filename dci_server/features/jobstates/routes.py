# SPDX-License-Identifier: Apache-2.0
"""The URLs of jobstates."""

from dci_server.features.jobs import access
from dci_server.features.jobstates import actions, queries
from dci_server.features.jobstates.model import (
    JobstateAnswer,
    JobstatesAnswer,
    JobstateWithFilesAnswer,
    NewJobstate,
)
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, get, page, post


async def add_jobstate(call: Call) -> Response:
    """The job has entered a state."""
    jobstate = await actions.add_jobstate(call.db, call.caller, call.body(NewJobstate))
    return answer("jobstate", jobstate, status=201)


async def get_jobstate(call: Call) -> Response:
    """A jobstate with its files."""
    found = await queries.find_jobstate(call.db, call.id("jobstate_id"))
    if found is None:
        raise NotFound("jobstate")
    access.READ_PARTS.require_for_team(call.caller, found.team_id)
    return answer("jobstate", found.jobstate)


async def delete_jobstate(call: Call) -> Response:
    """Removes a jobstate for good; its files become files of the job."""
    found = await queries.find_jobstate(call.db, call.id("jobstate_id"))
    if found is None:
        raise NotFound("jobstate")
    if found.job_is_archived:
        raise NotFound("job")
    access.CHANGE.require_for_team(call.caller, found.team_id)
    await queries.delete_jobstate(call.db, call.id("jobstate_id"), access.changeable_by(call.caller))
    return NO_CONTENT


async def list_jobstates(call: Call) -> Response:
    """The states of a job, newest first, with the files of each."""
    await access.require_can_read(call.db, call.caller, call.id("job_id"))
    return page(await queries.list_jobstates(call.db, call.id("job_id"), call.listing(queries.COLUMNS)))


routes = [
    get("/jobstates/{jobstate_id:uuid}", get_jobstate, JobstateWithFilesAnswer, who=access.READ_PARTS),
    delete("/jobstates/{jobstate_id:uuid}", delete_jobstate, who=access.CHANGE, needs_etag=False),
    post("/jobstates", add_jobstate, NewJobstate, JobstateAnswer, who=access.CHANGE),
    get(
        "/jobs/{job_id:uuid}/jobstates",
        list_jobstates,
        JobstatesAnswer,
        who=access.READ_PARTS,
        listing=queries.COLUMNS,
    ),
]
