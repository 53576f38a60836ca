# SPDX-License-Identifier: Apache-2.0
"""The URLs of jobstates."""

from dci_server.features.jobs import access
from dci_server.features.jobstates import actions, queries
from dci_server.features.jobstates.model import JobstateAnswer, JobstatesAnswer, NewJobstate
from dci_server.foundation.http import Call, Response, answer, get, page, post


async def add_jobstate(call: Call) -> Response:
    """The job has entered a state."""
    jobstate = await actions.add_jobstate(call.db, call.caller, call.body(NewJobstate))
    return answer("jobstate", jobstate, status=201)


async def list_jobstates(call: Call) -> Response:
    """The states of a job, newest first, with the files of each."""
    await access.require_can_read(call.db, call.caller, call.id("job_id"))
    return page(await queries.list_jobstates(call.db, call.id("job_id"), call.listing(queries.COLUMNS)))


routes = [
    post("/jobstates", add_jobstate, NewJobstate, JobstateAnswer, who=access.CHANGE),
    get(
        "/jobs/{job_id:uuid}/jobstates",
        list_jobstates,
        JobstatesAnswer,
        who=access.READ_PARTS,
        listing=queries.COLUMNS,
    ),
]
