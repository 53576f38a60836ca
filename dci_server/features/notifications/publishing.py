# SPDX-License-Identifier: Apache-2.0
"""Publishes on the message bus, beside the requests of a server process: of each job one message after the other."""

import asyncio
import time
from datetime import UTC
from typing import TYPE_CHECKING

import structlog

from dci_server.features.notifications import bus_messages
from dci_server.features.notifications.bus_messages import DueMessage
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.outgoing.bus import BusUnavailable, MessageBus, MessageRefused
from dci_server.foundation.outgoing.patience import seconds_before_attempt

if TYPE_CHECKING:
    from dci_server.foundation.outgoing.amqp import BusConnection

_AT_ONCE = 20
_LEASE_SECONDS = 60.0
_IDLE_SECONDS = 5.0
_LONGEST_PAUSE = 600.0

log = structlog.get_logger("dci_server.bus")


class Publisher:
    def __init__(self, db: Connection, bus: MessageBus, metrics: Metrics) -> None:
        self._db = db
        self._bus = bus
        self._metrics = metrics
        self._failures = 0
        self._paused_until = 0.0
        self._repeating = Repeating("bus", self._publish_due, idle=_IDLE_SECONDS)

    def start(self) -> None:
        self._repeating.start()

    def wake(self) -> None:
        self._repeating.wake()

    async def stop(self) -> None:
        await self._repeating.stop()

    async def _publish_due(self) -> bool:
        if time.monotonic() < self._paused_until:
            return False
        waiting = await self._take()
        if not waiting:
            return False
        try:
            async with self._bus.connection() as connection:
                while waiting:
                    await self._publish_all(connection, waiting)
                    waiting = await self._take()
        except BusUnavailable as error:
            await self._pause(str(error), waiting)
            return False
        self._failures = 0
        return False

    async def _take(self) -> list[DueMessage]:
        return await bus_messages.take_due(self._db, most=_AT_ONCE, lease=_LEASE_SECONDS)

    async def _publish_all(self, connection: "BusConnection", waiting: list[DueMessage]) -> None:
        """What was confirmed is noted even when the connection broke for the others, which stay in `waiting`."""
        outcomes = await asyncio.gather(*(self._publish(connection, due) for due in waiting), return_exceptions=True)
        confirmed: list[DueMessage] = []
        broken: BaseException | None = None
        for due, outcome in zip(list(waiting), outcomes, strict=True):
            if outcome is None:
                confirmed.append(due)
                self._metrics.count_delivery("bus", received=True)
            elif isinstance(outcome, MessageRefused):
                self._metrics.count_delivery("bus", received=False)
                delay = seconds_before_attempt(due.attempts + 1)
                await bus_messages.note_failure(self._db, due, str(outcome), delay=delay)
            else:
                broken = outcome
                continue
            waiting.remove(due)
        await bus_messages.note_sent(self._db, [due.event_id for due in confirmed])
        if broken is not None:
            raise broken

    async def _publish(self, connection: "BusConnection", due: DueMessage) -> None:
        body = await bus_messages.write_body(self._db, due)
        if body is None:
            await bus_messages.note_failure(self._db, due, "the job was purged", delay=0, is_final=True)
            return
        await connection.publish(
            body.encode(), message_id=str(due.event_id), kind=due.kind, at=due.happened_at.replace(tzinfo=UTC)
        )

    async def _pause(self, reason: str, waiting: list[DueMessage]) -> None:
        """A bus that can't be used is not tried anew for each message."""
        self._failures += 1
        pause = min(seconds_before_attempt(self._failures + 1), _LONGEST_PAUSE)
        self._paused_until = time.monotonic() + pause
        log.warning("messages wait for the bus", reason=reason, seconds=round(pause))
        self._metrics.count_delivery("bus", received=False)
        for due in waiting:
            await bus_messages.note_failure(self._db, due, f"the bus: {reason}", delay=pause)
