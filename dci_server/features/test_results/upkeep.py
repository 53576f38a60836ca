# SPDX-License-Identifier: Apache-2.0
"""What the rows of cases need beside the requests: a partition for each month, and the removal of what is not kept."""

import asyncio
from contextlib import suppress
from time import monotonic

import asyncpg
import structlog

from dci_server.features.test_results import queries
from dci_server.features.test_results.retention import remove_expired
from dci_server.foundation.database.connection import Connection, transaction
from dci_server.foundation.errors import ApiError

_SECONDS_BETWEEN_PASSES = 60.0
_SECONDS_BETWEEN_MONTHS = 3600.0
_SECONDS_BETWEEN_RETENTIONS = 6 * 3600.0
_AT_ONCE = 10

log = structlog.get_logger("dci_server.upkeep")


async def remove_due_cases(db: Connection) -> int:
    """Those of deleted results, and of reports that never became visible; of how many reports. In several processes at once."""
    removed = 0
    while True:
        async with transaction(db) as connection:
            reports = await queries.find_cases_to_remove(connection, _AT_ONCE)
            for report in reports:
                await queries.remove_cases(connection, report)
        removed += len(reports)
        if len(reports) < _AT_ONCE:
            return removed


class CaseUpkeep:
    """Runs beside the requests of a server process, for as long as it lives."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        # A server that starts has months to prepare; what is kept too long can wait for the next pass.
        next_month, next_retention = monotonic(), monotonic() + _SECONDS_BETWEEN_PASSES
        while True:
            try:
                if monotonic() >= next_month:
                    await queries.prepare_months(self._db)
                    next_month = monotonic() + _SECONDS_BETWEEN_MONTHS
                if monotonic() >= next_retention:
                    removed = await remove_expired(self._db)
                    if removed.results or removed.months:
                        log.info("test cases were kept for long enough", results=removed.results, cases=removed.cases)
                    next_retention = monotonic() + _SECONDS_BETWEEN_RETENTIONS
                await remove_due_cases(self._db)
            except (ApiError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                # Until it succeeds cases without a month are kept in a partition of their own, so that nothing is refused.
                log.warning("the upkeep of test cases waits", reason=type(error).__name__)
            await asyncio.sleep(_SECONDS_BETWEEN_PASSES)
