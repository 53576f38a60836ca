# SPDX-License-Identifier: Apache-2.0
"""The live stream: one database connection of a process listens, and what it hears of is handed to all who follow.

An event is read and turned into text once, whoever follows it. Followers with the same rights are one audience, and an
event is offered only to the audiences that may see it. A follower that does not keep up is cut off; it comes back with
the last id it saw, and reads what it missed from the table.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog

from dci_server.foundation.auth.authenticator import Authentication, Authenticator
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import DATABASE_ERRORS, Connection
from dci_server.foundation.errors import ApiError, Unavailable
from dci_server.foundation.events.line import Line

MOST_WAITING = 2_000
"""Events that wait for a follower who does not read."""
MOST_FOLLOWERS = 10_000
_AT_ONCE = 200
_SECONDS_BETWEEN_HEARTBEATS = 15.0
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_BETWEEN_RENEWALS = 60.0
_SECONDS_TO_RECOVER = 1.0
_SECONDS_TO_GATHER_CHANGES = 0.2
_RENEWED_AT_ONCE = 4
_BEATS_AT_ONCE = 50

SERVER_STOPS = "the server stops"
NOT_AUTHORIZED = "not authorized any more"
TOO_SLOW = "too slow"
JOB_IS_OVER = "the job is over"
HEARTBEAT = b": still here\n\n"

log = structlog.get_logger("dci_server.events")


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event on its way: what decides who gets it, and its text as all of them get it."""

    id: int
    numbered_at: datetime
    type: str
    team_id: UUID | None
    topic_id: UUID | None
    remoteci_id: UUID | None
    job_id: UUID | None
    is_final: bool
    """Whether it ends its job."""
    text: bytes


class Source(Protocol):
    """Where events come from, and who may see those that belong to no team."""

    async def read(self, db: Connection, after: int, since: datetime, most: int) -> list[LiveEvent]:
        """Those that follow, none of them numbered before `since`."""
        ...

    async def usable_topics(self, db: Connection, caller: Identity, topic_ids: Collection[UUID]) -> set[UUID]:
        """Those of the topics whose events the caller may see."""
        ...


class Follower:
    """One open stream. `wants` is the filter; who may see an event the audience says."""

    __slots__ = (
        "_ended",
        "_line",
        "_woken",
        "audience",
        "authentication",
        "cursor",
        "ends_with_job",
        "last_of_job",
        "may_follow",
        "waiting",
        "wants",
    )

    def __init__(
        self,
        authentication: Authentication,
        line: Line,
        cursor: int,
        wants: Callable[[LiveEvent], bool],
        may_follow: Callable[[Identity], bool] | None = None,
        *,
        ends_with_job: bool = False,
    ) -> None:
        self.authentication = authentication
        self.ends_with_job = ends_with_job
        self.audience: _Audience | None = None
        self.cursor = cursor
        self.wants = wants
        self.may_follow = may_follow
        """Whether there is anything for the caller to hear here."""
        self.waiting: deque[LiveEvent] = deque()
        self.last_of_job: int | None = None
        """The stream ends with this event, for a job that was over before it was followed."""
        self._line = line
        self._woken: asyncio.Future[None] | None = None
        self._ended: str | None = None

    @property
    def has_ended(self) -> bool:
        return self._ended is not None

    def offer(self, event: LiveEvent) -> None:
        if event.id <= self.cursor or self._ended is not None or not self.wants(event):
            return
        if len(self.waiting) >= MOST_WAITING:
            log.info("a follower did not keep up", identity=str(self.authentication.caller.id))
            self.end(TOO_SLOW)
            self._line.hang_up()
            return
        self.waiting.append(event)
        self.wake()

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            self.wake()

    async def live(self) -> AsyncIterator[bytes]:
        """What arrives, as it arrives; a heartbeat when nothing does. The last words are why it ended."""
        while True:
            if self.last_of_job is not None and self.cursor >= self.last_of_job:
                self.end(JOB_IS_OVER)
            if self._ended is not None:
                yield farewell(self._ended)
                return
            if not self.waiting:
                self._woken = asyncio.get_running_loop().create_future()
                await self._woken
                self._woken = None
                if not self.waiting:
                    if self._ended is None:
                        yield HEARTBEAT
                    continue
            yield self._take()

    def _take(self) -> bytes:
        events = list(self.waiting)
        self.waiting.clear()
        if self.ends_with_job:
            events = events[: next((n for n, event in enumerate(events, 1) if event.is_final), len(events))]
            if events[-1].is_final:
                self.end(JOB_IS_OVER)
        self.cursor = events[-1].id
        return b"".join([event.text for event in events])


def farewell(reason: str) -> bytes:
    return f'event: end\ndata: {{"reason":"{reason}"}}\n\n'.encode()


@dataclass(slots=True, eq=False)
class _Audience:
    """Followers who see the same; any of their identities stands for all of them."""

    key: Hashable
    identity: Identity
    followers: set[Follower] = field(default_factory=set[Follower])


class EventFeed:
    """Runs beside the requests of a server process, for as long as it lives."""

    def __init__(self, db: Connection, url: str, authenticator: Authenticator, source: Source) -> None:
        self._db = db
        self._url = url
        self._authenticator = authenticator
        self._source = source
        self._followers: set[Follower] = set()
        self._audiences: dict[Hashable, _Audience] = {}
        self._of_team: dict[UUID, set[_Audience]] = {}
        self._of_everything: set[_Audience] = set()
        self._last = 0
        self._since = datetime.min
        self._woken = asyncio.Event()
        self._must_renew = False
        self._renewed_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def last(self) -> int:
        """The newest event that was handed out: who has all up to it and joins misses nothing."""
        return self._last

    @property
    def followers(self) -> int:
        return len(self._followers)

    def require_room(self) -> None:
        if len(self._followers) >= MOST_FOLLOWERS:
            raise Unavailable("too many follow the events of this server; poll them, or try again later")

    async def start(self) -> None:
        self._authenticator.when_forgetting.append(self._who_is_who_changed)
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._keep_alive())]

    async def stop(self) -> None:
        for follower in self._followers:
            follower.end(SERVER_STOPS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def join(self, follower: Follower) -> None:
        """From now on it is offered what is handed out. Whoever looks at `last` and joins must not wait in between."""
        self._followers.add(follower)
        self._seat(follower)

    def leave(self, follower: Follower) -> None:
        self._followers.discard(follower)
        self._unseat(follower)

    def _seat(self, follower: Follower) -> None:
        identity = follower.authentication.caller
        key = (identity.kind, identity.teams)
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = _Audience(key, identity)
            if identity.reads_everything:
                self._of_everything.add(audience)
            for team_id in identity.team_ids:
                self._of_team.setdefault(team_id, set()).add(audience)
        audience.followers.add(follower)
        follower.audience = audience

    def _unseat(self, follower: Follower) -> None:
        audience = follower.audience
        if audience is None:
            return
        follower.audience = None
        audience.followers.discard(follower)
        if not audience.followers:
            del self._audiences[audience.key]
            self._of_everything.discard(audience)
            for team_id in audience.identity.team_ids:
                self._of_team[team_id].discard(audience)
                if not self._of_team[team_id]:
                    del self._of_team[team_id]

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if not self._followers:
            self._last = max(self._last, int(str(payload)))
        self._woken.set()

    def _who_is_who_changed(self) -> None:
        self._must_renew = True
        self._woken.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen_until_lost()
            except (ApiError, *DATABASE_ERRORS) as error:
                log.warning("not listening for events", kind=type(error).__name__)
            await asyncio.sleep(_SECONDS_TO_RECOVER)

    async def _listen_until_lost(self) -> None:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._url, server_settings={"application_name": "dci-server events"}
        )
        try:
            await connection.add_listener("events", self._heard)
            last = await connection.fetchval("select last_id from events_numbering")
            # Who came meanwhile is offered all that was numbered since.
            self._last = max(self._last, min([last, *(follower.cursor for follower in self._followers)]))
            while not connection.is_closed():
                await self._hand_out()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
                        await self._woken.wait()
                if not self._woken.is_set():
                    # A connection that died without a word must be noticed.
                    await connection.fetchval("select 1", timeout=5)
                self._woken.clear()
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)

    async def _hand_out(self) -> None:
        while self._followers:
            await self._renew()
            events = await self._source.read(self._db, self._last, self._since, _AT_ONCE)
            usable = await self._usable_topics(events)
            if self._must_renew or any(key not in usable for key in self._audiences):
                continue  # Somebody came, or may no longer see this, while it was being read.
            for event in events:
                for audience in self._audiences_of(event, usable):
                    for follower in audience.followers:
                        follower.offer(event)
            if events:
                self._last, self._since = events[-1].id, events[-1].numbered_at
            if len(events) < _AT_ONCE:
                return

    def _audiences_of(self, event: LiveEvent, usable: Mapping[Hashable, Collection[UUID]]) -> Collection[_Audience]:
        if event.team_id is not None:
            return self._of_everything | self._of_team.get(event.team_id, set())
        return [
            audience
            for key, audience in self._audiences.items()
            if audience.identity.reads_everything or event.topic_id in usable[key]
        ]

    async def _usable_topics(self, events: Sequence[LiveEvent]) -> dict[Hashable, Collection[UUID]]:
        """By audience, of the topics of those events that belong to no team."""
        topic_ids = {event.topic_id for event in events if event.team_id is None and event.topic_id is not None}
        usable: dict[Hashable, Collection[UUID]] = {}
        for key, audience in list(self._audiences.items()):
            if not topic_ids or audience.identity.reads_everything:
                usable[key] = ()
            else:
                usable[key] = await self._source.usable_topics(self._db, audience.identity, topic_ids)
        return usable

    async def _renew(self) -> None:
        """Nobody is told anything after somebody's rights changed before it is known whose did."""
        self._authenticator.ask_neighbours()
        age = monotonic() - self._renewed_at
        if not self._must_renew and age < _SECONDS_BETWEEN_RENEWALS:
            return
        if age < _SECONDS_TO_GATHER_CHANGES:
            await asyncio.sleep(_SECONDS_TO_GATHER_CHANGES - age)
        self._must_renew = False
        self._renewed_at = monotonic()
        try:
            waiting = iter(list(self._followers))
            await asyncio.gather(*(self._renew_each(waiting) for _ in range(_RENEWED_AT_ONCE)))
        except BaseException:
            self._must_renew = True
            raise

    async def _renew_each(self, followers: Iterator[Follower]) -> None:
        for follower in followers:
            try:
                identity = await self._authenticator.renew(follower.authentication)
            except Unavailable:
                raise
            except ApiError:
                follower.end(NOT_AUTHORIZED)
                self._unseat(follower)
                continue
            if follower.may_follow is not None and not follower.may_follow(identity):
                follower.end(NOT_AUTHORIZED)
                self._unseat(follower)
            elif follower in self._followers and identity.teams != follower.authentication.caller.teams:
                self._unseat(follower)
                follower.authentication.caller = identity
                self._seat(follower)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_HEARTBEATS)
            for number, follower in enumerate(list(self._followers)):
                follower.wake()
                if number % _BEATS_AT_ONCE == 0:
                    await asyncio.sleep(0.01)
