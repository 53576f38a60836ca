# SPDX-License-Identifier: Apache-2.0
"""Turns events into what is to be sent, beside the requests of a server process; of all processes one at a time does it.

What it makes of some events and how far it is are one transaction. When that takes too long, fewer are taken at once.
"""

import time

import asyncpg
import structlog

from dci_server.features.notifications import recipients
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import STATEMENT_TIMEOUT_SECONDS, Connection
from dci_server.foundation.metrics import Metrics

_MOST_EVENTS = 500
_MOST_ROWS = 5_000
"""That follow from the events taken at once: half a second of an ordinary machine."""
_SHRINKS_BY = 8
_QUICK_SECONDS = STATEMENT_TIMEOUT_SECONDS / 4
_MOST_TRIES = 5
_IDLE_SECONDS = 5.0
_SECONDS_BETWEEN_LOOKS = 0.25
"""Each look is a transaction and a durable commit, for one event as for many (decision 0039)."""
_OF_THE_EVENT = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""What one event can be the reason of, and no other helps."""

log = structlog.get_logger("dci_server.notifications")


class FanOut:
    def __init__(self, db: Connection, metrics: Metrics, *, links: str, with_mail: bool, with_bus: bool) -> None:
        self._db = db
        self._metrics = metrics
        self._links = links
        self._with_mail = with_mail
        self._with_bus = with_bus
        self._most_rows = _MOST_ROWS
        self._stuck_after = -1
        self._tries = 0
        self._repeating = Repeating("fan-out", self.look, idle=_IDLE_SECONDS, rest=_SECONDS_BETWEEN_LOOKS)

    def start(self) -> None:
        self._repeating.start()

    def wake(self) -> None:
        self._repeating.wake()

    async def stop(self) -> None:
        await self._repeating.stop()

    async def look(self) -> bool:
        """Whether more may follow at once."""
        started = time.monotonic()
        try:
            told = await recipients.tell(
                self._db,
                links=self._links,
                with_mail=self._with_mail,
                with_bus=self._with_bus,
                most_events=_MOST_EVENTS,
                most_rows=self._most_rows,
            )
        except (asyncpg.QueryCanceledError, TimeoutError):
            if self._most_rows == 1:
                raise
            self._most_rows = max(1, self._most_rows // _SHRINKS_BY)
            log.warning("telling takes too long, fewer events are told at once", most_rows=self._most_rows)
            return True
        except _OF_THE_EVENT as error:
            if self._most_rows == 1:
                await self._give_up(error)
            self._most_rows = 1
            return True
        if time.monotonic() - started < _QUICK_SECONDS:
            self._most_rows = min(_MOST_ROWS, 2 * self._most_rows)
        return told is not None and told.has_more

    async def _give_up(self, error: Exception) -> None:
        """On the one event at hand, when it has failed again and again: those behind it wait."""
        last_id = await recipients.find_last_told(self._db)
        self._tries = self._tries + 1 if last_id == self._stuck_after else 1
        self._stuck_after = last_id
        if self._tries < _MOST_TRIES:
            raise error
        event_id = await recipients.pass_over(self._db, last_id)
        if event_id is not None:
            self._metrics.count_given_up("fan-out")
            log.error("an event can't be told, and nobody will be", event_id=event_id, kind=type(error).__name__)
