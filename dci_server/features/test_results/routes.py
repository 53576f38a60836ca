# SPDX-License-Identifier: Apache-2.0
"""The URLs of test results."""

from dataclasses import replace
from datetime import UTC, datetime

from dci_server.features.files.access import READ, require_readable
from dci_server.features.jobs.access import LIST, READ_PARTS, require_can_read, visible_to
from dci_server.features.test_results import actions, case_queries, paging, queries
from dci_server.features.test_results.model import (
    CasesAnswer,
    FailingCasesAnswer,
    Report,
    ResultsAnswer,
    RunsAnswer,
)
from dci_server.features.topics.access import USE
from dci_server.features.topics.actions import require_usable
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import Call, Response, get, page
from dci_server.foundation.parameters import require_known


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


async def list_cases(call: Call) -> Response:
    """The test cases of a job, of all its JUnit files."""
    job_id, given = call.id("job_id"), call.parameters
    await require_can_read(call.db, call.caller, job_id)
    require_known(given, paging.OF_CASES)
    asked, after = paging.cases_asked_for(given), paging.numbers_of(given, 2)
    return page(await case_queries.list_cases_of_job(call.db, job_id, asked, paging.limit_of(given), after))


async def list_runs(call: Call) -> Response:
    """How one test case went, in all jobs, remotecis and topics that the caller sees, newest first."""
    given, visible = call.parameters, visible_to(call.caller)
    require_known(given, paging.OF_RUNS)
    asked, after = paging.runs_asked_for(given), paging.numbers_of(given, 3)
    limit = paging.limit_of(given)
    return page(await case_queries.list_runs(call.db, call.id("test_id"), visible, asked, limit, after))


async def list_failing_cases(call: Call) -> Response:
    """The test cases that failed on a topic, in the jobs that the caller sees, the most frequent first."""
    topic_id, given = call.id("topic_id"), call.parameters
    await require_usable(call.db, call.caller, topic_id)
    require_known(given, paging.OF_FAILING_CASES)
    between = paging.range_asked_for(given, datetime.now(UTC).replace(tzinfo=None))
    cursor = paging.cursor_of(given, 2)
    after = None if cursor is None else paging.failures_of(cursor)
    visible, limit = visible_to(call.caller), paging.limit_of(given)
    return page(await case_queries.list_failing(call.db, topic_id, visible, between, limit, after))


routes = [
    get("/jobs/{job_id:uuid}/results", list_results, ResultsAnswer, who=READ_PARTS),
    replace(get("/files/{file_id:uuid}/junit", get_report, Report, who=READ), refusals=(410,)),
    get(
        "/jobs/{job_id:uuid}/cases",
        list_cases,
        CasesAnswer,
        who=READ_PARTS,
        query=paging.OF_CASES,
    ),
    get(
        "/cases/{test_id:uuid}/runs",
        list_runs,
        RunsAnswer,
        who=LIST,
        query=paging.OF_RUNS,
    ),
    get(
        "/topics/{topic_id:uuid}/failing_cases",
        list_failing_cases,
        FailingCasesAnswer,
        who=USE,
        query=paging.OF_FAILING_CASES,
    ),
]
