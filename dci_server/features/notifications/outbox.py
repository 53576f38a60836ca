# SPDX-License-Identifier: Apache-2.0
"""A table of what waits to be sent, emptied beside the requests of a server process; as many as there are share the work.

A row is taken for as long as sending it can last, comes back when its taker dies, is tried again after pauses that grow,
and is given up in the end. A carrier that can't be used is left alone for a growing while.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, LiteralString, Protocol, TypeVar
from uuid import UUID

import structlog

from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import (
    DATABASE_ERRORS,
    Connection,
    execute,
    fetch_rows,
    fetch_value,
    is_database_away,
)
from dci_server.foundation.metrics import DeliveredBy, Metrics
from dci_server.foundation.outgoing.carriers import CarrierUnavailable, MessageRefused
from dci_server.foundation.outgoing.patience import seconds_before_attempt

_AT_ONCE = 20
_SECONDS_TO_NOTE = 20.0
_IDLE_SECONDS = 5.0
_LONGEST_PAUSE = 600.0
_MOST_FAULTS = 12
"""Of a message, over half a day: whatever nobody foresaw is then given up, and holds up nothing behind it."""

_OUR_FAULT = "a fault of the server"

log = structlog.get_logger("dci_server.outbox")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row in hands. `attempts` tells an attempt from a later one."""

    id: UUID
    attempts: int
    faults: int


Sent = TypeVar("Sent", bound=Waiting)
Taken_contra = TypeVar("Taken_contra", bound=Waiting, contravariant=True)


@dataclass(frozen=True, slots=True)
class Table(Generic[Sent]):
    """Where rows of the shape wait. `is_next` is a condition on a row, which goes by the name of `message`."""

    name: LiteralString
    shape: type[Sent]
    columns: LiteralString
    is_next: LiteralString = "true"


class Carrier(Protocol[Taken_contra]):
    """Takes messages away. `seconds` is how long those that are taken at once may last."""

    name: str
    by: DeliveredBy
    in_parallel: int
    keeps_open: bool
    seconds: float

    def open(self) -> AbstractAsyncContextManager[Callable[[Taken_contra], Awaitable[None]]]:
        """What sends one message, for as long as the block runs; that it returns means that it was received.

        Both raise CarrierUnavailable, and sending MessageRefused.
        """
        ...


class Outbox(Generic[Sent]):
    def __init__(self, db: Connection, table: Table[Sent], carrier: Carrier[Sent], metrics: Metrics) -> None:
        self._db = db
        self._table = table
        self._carrier = carrier
        self._metrics = metrics
        self._failures = 0
        self._paused_until = 0.0
        self._repeating = Repeating(carrier.by, self._send_due, idle=_IDLE_SECONDS)

    def start(self) -> None:
        self._repeating.start()

    def wake(self) -> None:
        self._repeating.wake()

    async def stop(self) -> None:
        await self._repeating.stop()

    async def _send_due(self) -> bool:
        if time.monotonic() < self._paused_until:
            return False
        waiting = await self._take()
        if not waiting:
            return False
        patience = asyncio.timeout(self._carrier.seconds)
        try:
            async with patience, self._carrier.open() as send:
                await self._send_all(send, waiting)
                while self._carrier.keeps_open:
                    patience.reschedule(asyncio.get_running_loop().time() + self._carrier.seconds)
                    waiting = await self._take()
                    if not waiting:
                        break
                    await self._send_all(send, waiting)
        except CarrierUnavailable as error:
            await self._pause(str(error), waiting)
            return False
        except TimeoutError:
            if not patience.expired():
                raise
            await self._pause("it takes too long", waiting)
            return False
        except DATABASE_ERRORS:
            raise
        except Exception:
            # A fault of ours before any message is sent; that of a message is its own.
            await self._pause(_OUR_FAULT, waiting)
            raise
        self._failures = 0
        return True

    async def _take(self) -> list[Sent]:
        table = self._table
        rows = await fetch_rows(
            self._db,
            "update " + table.name + """ set attempts = attempts + 1,
                    next_attempt_at = utc_now() + %(lease)s::float8 * interval '1 second'
               where id in (select id from """ + table.name + """ as message
                            where state = 'waiting' and next_attempt_at <= utc_now() and """ + table.is_next + """
                            order by next_attempt_at limit %(most)s::integer for update skip locked)
               returning id, attempts, faults, """ + table.columns,
            most=_AT_ONCE,
            lease=self._carrier.seconds + _SECONDS_TO_NOTE,
        )  # fmt: skip
        return [table.shape(**dict(row)) for row in rows]

    async def _send_all(self, send: Callable[[Sent], Awaitable[None]], waiting: list[Sent]) -> None:
        """What has been told or refused leaves `waiting`, even when the carrier broke down over another."""
        while waiting:
            some = waiting[: self._carrier.in_parallel]
            outcomes = await asyncio.gather(*(self._send(send, one, waiting) for one in some), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome

    async def _send(self, send: Callable[[Sent], Awaitable[None]], one: Sent, waiting: list[Sent]) -> None:
        try:
            await send(one)
        except CarrierUnavailable:
            raise
        except MessageRefused as refusal:
            self._metrics.count_delivery(self._carrier.by, received=False)
            delay = seconds_before_attempt(one.attempts + 1)
            await self._note_failure(one, str(refusal), delay=delay, is_final=refusal.is_final)
        except Exception as fault:  # while it is written or handed over; the others go on
            if is_database_away(fault) and not isinstance(fault, OSError):
                raise
            self._metrics.count_delivery(self._carrier.by, received=False)
            await self._note_fault(one, fault)
        else:
            self._metrics.count_delivery(self._carrier.by, received=True)
            await self._note_received(one)
        waiting.remove(one)

    async def _pause(self, reason: str, waiting: list[Sent]) -> None:
        """A carrier that can't be used is not tried anew for each message."""
        self._failures += 1
        pause = min(seconds_before_attempt(self._failures + 1), _LONGEST_PAUSE)
        self._paused_until = time.monotonic() + pause
        log.warning("messages wait", by=self._carrier.by, reason=reason, seconds=round(pause))
        self._metrics.count_delivery(self._carrier.by, received=False)
        for one in waiting:
            await self._note_failure(one, f"{self._carrier.name}: {reason}", delay=pause)

    async def _note_fault(self, one: Sent, fault: Exception) -> None:
        is_last = one.faults + 1 >= _MOST_FAULTS
        delay = seconds_before_attempt(one.faults + 2)
        await self._note_failure(one, f"{_OUR_FAULT}: {type(fault).__name__}", delay=delay, faults=1, is_final=is_last)
        about = {"by": self._carrier.by, "message": str(one.id), "kind": type(fault).__name__}
        # Where it comes from is said once, not at each attempt.
        log.error("a message can't be sent", **about, exc_info=None if one.faults else fault)

    async def _note_received(self, one: Sent) -> None:
        await execute(
            self._db,
            "update " + self._table.name + " set state = 'sent', error = null where id = %(id)s::uuid",
            id=one.id,
        )

    async def _note_failure(
        self, one: Sent, reason: str, *, delay: float, faults: int = 0, is_final: bool = False
    ) -> None:
        """Due again after `delay` seconds; given up when it is final, or too old by then."""
        state = await fetch_value(
            self._db,
            "update " + self._table.name + """
               set state = case when %(is_final)s::boolean
                                     or utc_now() + %(delay)s::float8 * interval '1 second' >= give_up_at
                                then 'failed' else 'waiting' end,
                   next_attempt_at = utc_now() + %(delay)s::float8 * interval '1 second', error = %(reason)s::text,
                   faults = faults + %(faults)s::integer
               where id = %(id)s::uuid and attempts = %(attempts)s::integer and state = 'waiting'
               returning state""",
            id=one.id,
            attempts=one.attempts,
            delay=delay,
            faults=faults,
            is_final=is_final,
            reason=reason,
        )  # fmt: skip
        if state == "failed":
            self._metrics.count_given_up(self._carrier.by)
            log.warning("a message was given up", by=self._carrier.by, message=str(one.id), reason=reason)


async def forget_old(db: Connection, table: LiteralString, *, days: int, most: int) -> int:
    """Of what is over; how many."""
    return await fetch_value(
        db,
        "with gone as (delete from " + table + " where id in (select id from " + table + """
                   where created_at < utc_now() - %(days)s::integer * interval '1 day'
                         and (state <> 'waiting' or give_up_at < utc_now())
                   limit %(most)s::integer for update skip locked)
               returning id
           ) select count(*) from gone""",
        days=days,
        most=most,
    )  # fmt: skip
