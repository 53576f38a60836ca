# SPDX-License-Identifier: Apache-2.0
"""Server-Sent Events: what was missed, from the table, and then what happens, as it happens."""

import re
from collections.abc import AsyncIterator
from uuid import UUID

from dci_server.features.events import access, queries
from dci_server.features.events.filters import AFTER, Filters
from dci_server.foundation.errors import ApiError, Unavailable
from dci_server.foundation.events.feed import NOT_AUTHORIZED, SERVER_STOPS, Follower, LiveEvent, farewell
from dci_server.foundation.http import Call, Response
from dci_server.foundation.validation import shown

EVENT_STREAM = "text/event-stream"
_BEGINNING = b"retry: 2000\n: following\n\n"
_AT_ONCE = 500
_ID = re.compile(r"[0-9]{1,18}")
_HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


def is_asked_for(call: Call) -> bool:
    return EVENT_STREAM in call.headers.get("accept", "").lower()


def follow(call: Call, filters: Filters, *, of_job: UUID | None = None) -> Response:
    """Begins after `Last-Event-ID`, or `after`; without either with the whole job, or with what comes next."""
    call.services.feed.require_room()
    after = _last_event_id(call)
    if after is None:
        after = AFTER.read_number(call.parameters)
    if after is None and of_job is not None:
        after = 0
    stream = _stream(call, filters, after, of_job)
    return Response(200, headers=_HEADERS, stream=stream, media_type=EVENT_STREAM.encode())


def _last_event_id(call: Call) -> int | None:
    text = call.headers.get("last-event-id")
    if not text:
        return None
    if not _ID.fullmatch(text):
        raise ApiError(f"Last-Event-ID is the id of an event; {shown(text)} is not")
    return int(text)


async def _stream(call: Call, filters: Filters, after: int | None, of_job: UUID | None) -> AsyncIterator[bytes]:
    services, line = call.services, call.line
    assert line is not None
    follower = Follower(call.authentication, line, 0, _Wanted(filters), ends_with_job=of_job is not None)
    line.watch(lambda: follower.end(SERVER_STOPS))
    try:
        yield _BEGINNING
        await services.events.number_all()
        last = await queries.find_last(call.db)
        follower.cursor = last if after is None else min(after, last)
        is_first = True
        while follower.cursor < services.feed.last and not follower.has_ended:
            try:
                caller = await services.authenticator.renew(call.authentication)
            except Unavailable:
                raise
            except ApiError:
                yield farewell(NOT_AUTHORIZED)
                return
            missed = await queries.read_missed(
                call.db, follower.cursor, _AT_ONCE, access.visible_to(caller), filters.condition
            )
            if is_first and 0 < follower.cursor < missed.first - 1:
                yield _gap(follower.cursor, missed.first)
            is_first = False
            yield missed.text
            follower.cursor = missed.after
        services.feed.join(follower)
        if of_job is not None:
            follower.last_of_job = await queries.find_end_of_job(call.db, of_job)
        async for chunk in follower.live():
            yield chunk
    finally:
        services.feed.leave(follower)
        line.release()


class _Wanted:
    """The same as the condition of the filters, for an event at hand."""

    __slots__ = ("_ids", "_types")

    def __init__(self, filters: Filters) -> None:
        self._types = filters.types
        self._ids = tuple(filters.ids.items())

    def __call__(self, event: LiveEvent) -> bool:
        if self._types is not None and event.type not in self._types:
            return False
        return all(getattr(event, name) == value for name, value in self._ids)


def _gap(after: int, first: int) -> bytes:
    """Some of what was missed is not kept any more."""
    return f'event: events_missing\ndata: {{"after":{after},"first":{first}}}\n\n'.encode()
