# SPDX-License-Identifier: Apache-2.0
"""The URLs of events."""

from dci_server.features.events import access, queries, stream
from dci_server.features.events.filters import (
    AFTER,
    LIMIT,
    OF_A_PAGE,
    Filters,
    read_filters,
    read_limit,
)
from dci_server.features.events.model import EventsAnswer
from dci_server.features.events.stream import Watched
from dci_server.features.jobs.access import READ_PARTS, require_can_read
from dci_server.foundation.http import Call, Headers, Response, Route, Services, page
from dci_server.foundation.parameters import Parameter, require_known

_OF_A_JOB: tuple[Parameter, ...] = (AFTER, LIMIT)
_LIVE = {
    "Accept": "`text/event-stream` for Server-Sent Events that go on; anything else for a page.",
    "Last-Event-ID": "Of a stream: the last event that was seen; it goes on after that one.",
}


def _tells(_services: Services, method: str) -> Headers:
    """Browsers ask before a page of another origin says where it goes on; only their EventSource need not ask."""
    return ((b"access-control-allow-headers", b"Last-Event-ID"),) if method == "OPTIONS" else ()


async def list_events(call: Call) -> Response:
    """What happened after an event, oldest first: `_meta.after` is where to go on, until it is `_meta.last`."""
    require_known(call.parameters, OF_A_PAGE)
    return await _answer(call, read_filters(call.parameters))


async def list_events_of_job(call: Call) -> Response:
    """What happened to a job; as a stream from its beginning on, until the job is over."""
    require_known(call.parameters, _OF_A_JOB)
    job_id = call.id("job_id")
    team_id = await require_can_read(call.db, call.caller, job_id)
    return await _answer(call, Filters(None, {"job_id": job_id}), Watched(job_id, team_id))


async def _answer(call: Call, filters: Filters, watched: Watched | None = None) -> Response:
    after, limit = AFTER.read_number(call.parameters), read_limit(call.parameters)
    if stream.is_asked_for(call):
        return stream.follow(call, filters, watched)
    # Who asks after a write of its own finds what that caused.
    await call.services.events.number_all()
    visible = access.visible_to(call.caller)
    return page(await queries.list_events(call.db, after or 0, limit, visible, filters.condition))


routes = [
    Route(
        "GET",
        "/events",
        list_events,
        access.LIST,
        answers={200: EventsAnswer},
        query=OF_A_PAGE,
        headers=_LIVE,
        tells=_tells,
    ),
    Route(
        "GET",
        "/jobs/{job_id:uuid}/events",
        list_events_of_job,
        READ_PARTS,
        answers={200: EventsAnswer},
        query=_OF_A_JOB,
        headers=_LIVE,
        tells=_tells,
    ),
]
