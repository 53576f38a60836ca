# SPDX-License-Identifier: Apache-2.0
"""Server-Sent Events: what was missed, from the table, and then what happens, as it happens."""

import re
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import UUID

from dci_server.features.events import access, queries
from dci_server.features.events.filters import AFTER, Filters
from dci_server.features.jobs.access import READ_PARTS
from dci_server.foundation.auth.identity import Identity
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


class Watched(NamedTuple):
    """The job that a stream is about, and whose it is."""

    job_id: UUID
    team_id: UUID

    def may_be_read_by(self, caller: Identity) -> bool:
        return READ_PARTS.allows(caller, caller.belongs_to(self.team_id))


def follow(call: Call, filters: Filters, watched: Watched | None = None) -> Response:
    """Begins after `Last-Event-ID`, or `after`; without either with the whole job, or with what comes next."""
    call.services.feed.require_room()
    after = _last_event_id(call)
    if after is None:
        after = AFTER.read_number(call.parameters)
    if after is None and watched is not None:
        after = 0
    stream = _stream(call, filters, after, watched)
    return Response(200, headers=_HEADERS, stream=stream, media_type=EVENT_STREAM.encode())


def _last_event_id(call: Call) -> int | None:
    text = call.headers.get("last-event-id")
    if not text:
        return None
    if not _ID.fullmatch(text):
        raise ApiError(f"Last-Event-ID is the id of an event; {shown(text)} is not")
    return int(text)


async def _stream(call: Call, filters: Filters, after: int | None, watched: Watched | None) -> AsyncIterator[bytes]:
    services, line = call.services, call.line
    assert line is not None
    may_follow = None if watched is None else watched.may_be_read_by
    follower = Follower(call.authentication, line, 0, _Wanted(filters), may_follow, ends_with_job=watched is not None)
    line.watch(lambda: follower.end(SERVER_STOPS))
    try:
        await services.events.number_all()
        last = await queries.find_last(call.db)
        follower.cursor = last if after is None else min(after, last)
        # Whoever has seen it hears of all that happens from then on.
        yield _BEGINNING
        is_first = True
        while not follower.has_ended:
            # Rights may change while the past is told, and before the feed knows this follower.
            caller = await _renewed(call, watched)
            if caller is None:
                yield farewell(NOT_AUTHORIZED)
                return
            call.authentication.caller = caller
            if follower.cursor >= services.feed.last:
                break
            missed = await queries.read_missed(
                call.db, follower.cursor, _AT_ONCE, access.visible_to(caller), filters.condition
            )
            if is_first and 0 < follower.cursor < missed.first - 1:
                yield _gap(follower.cursor, missed.first)
            is_first = False
            yield missed.text
            follower.cursor = missed.after
        services.feed.join(follower)
        if watched is not None:
            follower.last_of_job = await queries.find_end_of_job(call.db, watched.job_id)
        async for chunk in follower.live():
            yield chunk
    finally:
        services.feed.leave(follower)
        line.release()


async def _renewed(call: Call, watched: Watched | None) -> Identity | None:
    """None for who may not follow any more."""
    try:
        caller = await call.services.authenticator.renew(call.authentication)
    except Unavailable:
        raise
    except ApiError:
        return None
    return caller if watched is None or watched.may_be_read_by(caller) else None


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
