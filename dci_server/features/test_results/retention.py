# SPDX-License-Identifier: Apache-2.0
"""Rows of cases are kept for as long as the rules say. Of their files others say (`features/files/retention.py`)."""

from dataclasses import dataclass

from dci_server.features.retention.model import Rule
from dci_server.features.test_results import retention_queries
from dci_server.foundation.database.connection import Connection

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Expired:
    """A rule, and what is past it."""

    rule: Rule
    results: int
    cases: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Removed:
    results: int
    cases: int
    months: list[str]
    """The partitions that were dropped as a whole."""


async def list_expired(db: Connection) -> list[Expired]:
    """What a run would remove now, rule by rule."""
    size = await retention_queries.bytes_of_a_case(db)
    return [
        Expired(
            Rule("cases", row["topic"], row["team"], row["days"], row["keep_tags"]),
            row["results"],
            row["cases"],
            round(row["cases"] * size),
        )
        for row in await retention_queries.list_expired(db)
    ]


async def remove_expired(db: Connection) -> Removed:
    """Whole months at once, the others report by report. Interrupted, or run twice at the same time, it does no harm."""
    results, cases = 0, 0
    dropped: list[str] = []
    months = await retention_queries.list_whole_months(db)
    for month in (*months, None):
        while True:
            forgotten, rows = await retention_queries.forget_cases(db, _AT_ONCE, month)
            results, cases = results + forgotten, cases + rows
            if forgotten < _AT_ONCE:
                break
        if month is not None and await retention_queries.drop_month(db, month):
            dropped.append(month["name"])
    return Removed(results, cases, dropped)
