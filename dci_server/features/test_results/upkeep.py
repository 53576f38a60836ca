# SPDX-License-Identifier: Apache-2.0
"""What the rows of cases need beside the requests: a partition for each month, and the removal of what is not kept or not used."""

from time import monotonic

import structlog

from dci_server.features.test_results import queries
from dci_server.features.test_results.retention import remove_expired
from dci_server.features.test_results.unused_names import note_unused_names, remove_unused_names
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection, transaction

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


def case_keeper(db: Connection) -> Repeating:
    # A server that starts has months to prepare; what is kept too long can wait for the next pass.
    next_month, next_retention = monotonic(), monotonic() + _SECONDS_BETWEEN_PASSES

    async def look_after_cases() -> bool:
        """Until the months are prepared cases are kept in a partition of their own, so that nothing is refused."""
        nonlocal next_month, next_retention
        if monotonic() >= next_month:
            await queries.prepare_months(db)
            next_month = monotonic() + _SECONDS_BETWEEN_MONTHS
        if monotonic() >= next_retention:
            removed = await remove_expired(db)
            if removed.results or removed.months:
                log.info("test cases were kept for long enough", results=removed.results, cases=removed.cases)
            next_retention = monotonic() + _SECONDS_BETWEEN_RETENTIONS
        await remove_due_cases(db)
        await note_unused_names(db)
        await remove_unused_names(db)
        return False

    return Repeating("test cases", look_after_cases, idle=_SECONDS_BETWEEN_PASSES)
