# SPDX-License-Identifier: Apache-2.0
"""Rows of cases are kept for as long as the rules say. Their files stay, and with them the reports."""

from dataclasses import dataclass

from dci_server.features.test_results import retention_queries
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.errors import NotFound

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Expired:
    """A rule, and what is past it."""

    topic: str | None
    team: str | None
    days: int | None
    keep_tags: list[str]
    results: int
    cases: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Removed:
    results: int
    cases: int
    months: list[str]
    """The partitions that were dropped as a whole."""


async def set_rule(db: Connection, topic: str | None, team: str | None, days: int | None, keep_tags: list[str]) -> None:
    if not await retention_queries.save_rule(db, topic, team, days, keep_tags):
        raise NotFound("topic or team")


async def remove_rule(db: Connection, topic: str | None, team: str | None) -> None:
    if not await retention_queries.delete_rule(db, topic, team):
        raise NotFound("rule")


async def list_expired(db: Connection) -> list[Expired]:
    """What a run would remove now, rule by rule."""
    size = await retention_queries.bytes_of_a_case(db)
    return [Expired(**dict(row), bytes=round(row["cases"] * size)) for row in await retention_queries.list_expired(db)]


async def remove_expired(db: Connection) -> Removed:
    """Whole months at once, the others report by report. Interrupted, or run twice at the same time, it does no harm."""
    results, cases = 0, 0
    months = await retention_queries.list_whole_months(db)
    for month in (*months, None):
        while True:
            forgotten, rows = await retention_queries.forget_cases(db, _AT_ONCE, month)
            results, cases = results + forgotten, cases + rows
            if forgotten < _AT_ONCE:
                break
        if month is not None:
            await retention_queries.drop_month(db, month)
    return Removed(results, cases, [month["name"] for month in months])
