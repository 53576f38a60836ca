# SPDX-License-Identifier: Apache-2.0
"""The URLs of test results."""

from dci_server.features.files.access import READ, require_readable
from dci_server.features.jobs.access import READ_PARTS, require_can_read
from dci_server.features.test_results import actions, queries
from dci_server.features.test_results.model import Report, ResultsAnswer
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import Call, Response, get, page


async def list_results(call: Call) -> Response:
    """How the tests of a job went, a line for each JUnit file."""
    await require_can_read(call.db, call.caller, call.id("job_id"))
    return page(await queries.list_results(call.db, call.id("job_id")))


async def get_report(call: Call) -> Response:
    """A JUnit file, read: its suites and cases."""
    file = await require_readable(call.db, call.caller, call.id("file_id"))
    if file["job_is_archived"]:
        raise NotFound("job")
    return Response(stream=await actions.read_report(call, file))


routes = [
    get("/jobs/{job_id:uuid}/results", list_results, ResultsAnswer, who=READ_PARTS),
    get("/files/{file_id:uuid}/junit", get_report, Report, who=READ),
]
