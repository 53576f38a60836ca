# SPDX-License-Identifier: Apache-2.0
"""Gives committed events their ids, in the order in which they can be seen.

Every server process runs one; the database lets one at a time number. It runs after each write of its own process, and
looks every now and then for what others have written: psql, an import, a process that was killed.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from time import monotonic

import asyncpg
import structlog

from dci_server.foundation.database.connection import DATABASE_ERRORS, Connection, execute, fetch_value, transaction
from dci_server.foundation.errors import ApiError

MOST_AT_ONCE = 2_000
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_GATHER = 0.01
"""What is written together is numbered together: one durable transaction and one notification for all of it."""
_SECONDS_TO_REST = 0.09
"""After a batch: a busy hub would number a hundred times a second (decision 0039)."""
_SECONDS_BETWEEN_CLEANINGS = 3600.0
_SECONDS_TO_RECOVER = 1.0

log = structlog.get_logger("dci_server.events")


async def number(db: Connection, *, is_patient: bool = False) -> int | None:
    """How many were numbered; None when another process is at it and nobody wants to wait."""
    return await fetch_value(
        db, "select number_events(%(most)s::integer, %(is_patient)s)", most=MOST_AT_ONCE, is_patient=is_patient
    )


async def number_all(db: Connection) -> None:
    """Afterwards everything that was committed before the call has an id, whoever gave it."""
    while await number(db, is_patient=True) == MOST_AT_ONCE:
        pass


async def keep_partitions(db: Connection, kept: timedelta) -> int:
    """Makes the next weeks' partitions; drops those that ended longer ago than `kept`, and says how many.

    0 while somebody reads for long, a backup for example: all who come later wait behind who waits for that.
    """
    await fetch_value(db, "select make_event_partitions()")
    try:
        async with transaction(db) as connection:
            await execute(connection, "set local lock_timeout = '500ms'")
            return await fetch_value(
                connection, "select drop_event_partitions(utc_now() - %(kept)s::interval)", kept=kept
            )
    except asyncpg.LockNotAvailableError:
        log.info("old events stay for now: somebody reads them")
        return 0


class EventNumbering:
    """Runs beside the requests of a server process, for as long as it lives."""

    def __init__(self, db: Connection, kept: timedelta) -> None:
        self._db = db
        self._kept = kept
        self._written = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What is not numbered by now is by another process, or after the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Something may have been written."""
        self._written.set()

    async def number_all(self) -> None:
        await number_all(self._db)

    async def _run(self) -> None:
        next_cleaning = monotonic()
        while True:
            try:
                if monotonic() >= next_cleaning:
                    dropped = await keep_partitions(self._db, self._kept)
                    next_cleaning = monotonic() + _SECONDS_BETWEEN_CLEANINGS
                    if dropped:
                        log.info("old events were dropped", weeks=dropped)
                await self._number_what_waits()
            except asyncpg.CheckViolationError:
                next_cleaning = monotonic()  # There is no partition for today.
                await asyncio.sleep(_SECONDS_TO_RECOVER)
            except (ApiError, *DATABASE_ERRORS) as error:
                log.warning("events wait for their ids", reason=type(error).__name__)
                await asyncio.sleep(_SECONDS_TO_RECOVER)

    async def _number_what_waits(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
                await self._written.wait()
        await asyncio.sleep(_SECONDS_TO_GATHER)
        self._written.clear()
        moved = await number(self._db)
        while moved == MOST_AT_ONCE:
            moved = await number(self._db)
        if moved is None:
            # Another process is at it, and may have begun before this one's last write.
            self._written.set()
        await asyncio.sleep(_SECONDS_TO_REST)
