# SPDX-License-Identifier: Apache-2.0
"""The cases of a report become rows when it is there and it is proven who sent it, and are compared with the previous run.

They are written some thousands at once, in short statements, under a number that no result has yet: nobody sees them, no
transaction waits for a long report, and memory stays flat. The statement that inserts the result claims them; what is
never claimed is removed (`upkeep.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from xml.parsers import expat

import msgspec

from dci_server.features.test_results import queries
from dci_server.features.test_results.junit import Suite, Summary
from dci_server.features.test_results.model import Property
from dci_server.features.test_results.outline import outline_of
from dci_server.features.test_results.reading import Batch, JunitParsing, Shared
from dci_server.features.test_results.unused_names import keep_names
from dci_server.foundation.content import Destination, Unreadable
from dci_server.foundation.database.connection import Connection, Record
from dci_server.foundation.errors import Unavailable
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.storage import Store

_TEXT_AT_ONCE = 2 * 1024 * 1024
_SUITES_AT_ONCE = 1_000
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """The cases that are there, and what the result says of them. Without a target the cases are counted only."""

    target: Record | None
    counts: dict[str, int]
    encoding: str


class JunitReader:
    """Reads an upload whose mime is `application/junit`."""

    def __init__(self, metrics: Metrics) -> None:
        self._shared = Shared(metrics)

    def begin(self, store: Store, *, is_proven: bool) -> "JunitReading":
        return JunitReading(JunitParsing(store, self._shared, is_proven=is_proven))

    async def store(self, db: Connection, file_id: UUID, findings: Recorded | None) -> None:
        assert findings is not None
        if findings.target is None:
            await queries.insert_counts(db, file_id, findings.counts)
        elif not await queries.insert_result(db, file_id, findings.target, findings.encoding, findings.counts):
            raise Unavailable("the report took too long to be read; send it again")

    async def outline(self, content: bytes) -> bytes:
        try:
            return await asyncio.to_thread(outline_of, content)
        except expat.ExpatError as error:
            raise Unreadable("the file can't be compared: it is no report that can be read") from error

    async def replace(self, db: Connection, file_id: UUID, findings: Recorded | None) -> None:
        """The places of the texts are others; later runs that were compared with this one still are."""
        replaced = await queries.delete_result(db, file_id)
        await self.store(db, file_id, findings)
        if replaced is not None and findings is not None and findings.target is not None:
            await queries.compare_with(db, replaced, findings.target["number"])

    async def give_up(self, db: Connection, findings: Recorded | None) -> None:
        if findings is not None and findings.target is not None:
            await queries.give_up_cases(db, findings.target["number"])


class JunitReading:
    def __init__(self, parsing: JunitParsing) -> None:
        self._parsing = parsing

    async def take(self, piece: bytes) -> None:
        await self._parsing.take(piece)

    async def finish(
        self, db: Connection, destination: Destination, rest: Callable[[int], AsyncIterator[bytes]]
    ) -> Recorded | None:
        """None when there is no such job, or not for this caller, so that the file will be refused."""
        summary = await self._parsing.read_to_end(rest)
        if self._parsing.has_too_many_cases:
            return Recorded(None, {**_counts(summary), **dict.fromkeys(queries.STATE_COUNTS, 0), "deletions": 0}, "")
        target = await queries.announce_cases(db, destination)
        if target is None:
            return None
        recording = _Recording(db, target)
        try:
            async for batch in self._parsing.batches():
                await recording.write(batch)
            return await recording.finish(summary, self._parsing.encoding)
        except Exception:
            await queries.give_up_cases(db, target["number"])
            raise

    async def close(self) -> None:
        await self._parsing.close()


class _Recording:
    def __init__(self, db: Connection, target: Record) -> None:
        self._db = db
        self._target = target
        self._position = 0
        # A report may repeat one case a million times, and each look would walk over all of the previous run's.
        self._known: dict[bytes, _Known] = {}

    async def write(self, batch: Batch) -> None:
        keys, cases = batch
        await self._look_up(batch)
        number, moment, team = self._target["number"], self._target["created_at"], self._target["team_id"]
        rows = (
            (
                moment, number, known[0], team, position, suite, status, known[1], time,
                *(value or _NOWHERE), *(stdout or _NOWHERE), *(stderr or _NOWHERE), kind, message,
            )
            for position, (known, (suite, _, _, _, time, status, message, kind, value, stdout, stderr)) in enumerate(
                zip(map(self._known.__getitem__, keys), cases, strict=True), self._position
            )
        )  # fmt: skip
        await queries.insert_cases(self._db, rows)
        self._position += len(cases)

    async def finish(self, summary: Summary, encoding: str) -> Recorded:
        compared = await queries.count_states(self._db, self._target)
        totals: dict[str, int] = dict.fromkeys(queries.STATE_COUNTS, 0)
        for rows in _batches(_suite_rows(self._target["number"], summary, compared, totals), _SUITES_AT_ONCE):
            await queries.insert_suites(self._db, rows)
        deletions = 0
        if self._target["previous_number"] is not None:
            deletions = await queries.count_deletions(self._db, self._target)
        return Recorded(self._target, {**_counts(summary), **totals, "deletions": deletions}, encoding)

    async def _look_up(self, batch: Batch) -> None:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        cases = {key: case for key, case in zip(*batch, strict=True) if key not in self._known}
        # In one order everywhere: two reports with the same new names don't wait for each other crosswise.
        wanted = sorted(cases)
        if not wanted:
            return
        found = await queries.find_tests(self._db, wanted, self._target)
        unused = [row["id"] for row in found if row["is_unused"]]
        gone = set(unused).difference(await keep_names(self._db, unused) if unused else ())
        self._known.update(
            (key, (None if row["id"] in gone else row["id"], row["previous_status"]))
            for key, row in zip(wanted, found, strict=True)
        )
        new = [key for key in wanted if self._known[key][0] is None]
        names = ((key, classname, name) for key in new for _, _, name, classname, *_ in (cases[key],))
        for some in _of_bounded_text(names):
            added = await queries.add_tests(self._db, some)
            self._known.update((key, (test_id, None)) for key, test_id in added.items())


_Names = tuple[bytes, str, str]


def _of_bounded_text(names: Iterator[_Names]) -> Iterator[Sequence[_Names]]:
    """Some thousands of long names are many megabytes."""
    some: list[_Names] = []
    text = 0
    for row in names:
        some.append(row)
        text += sum(map(len, row))
        if text > _TEXT_AT_ONCE:
            yield some
            some, text = [], 0
    if some:
        yield some


_Known = tuple[int | None, str | None]
"""The id of a case's names, and its status in the previous run."""
_NOWHERE = (None, None)


def _batches(rows: Iterator[tuple[object, ...]], size: int) -> Iterator[list[tuple[object, ...]]]:
    batch: list[tuple[object, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _suite_rows(
    number: int, summary: Summary, compared: dict[int, Record], totals: dict[str, int]
) -> Iterator[tuple[object, ...]]:
    """In the order of `queries.SUITE_COLUMNS`; what they count is added to `totals`."""
    last = {suite.name: suite.id for suite in summary.suites}
    for suite in summary.suites:
        found = compared.get(suite.opened)
        states = [found[name] if found else 0 for name in totals]
        for name, count in zip(totals, states, strict=True):
            totals[name] += count
        yield (
            number, suite.id, suite.opened, suite.name, last[suite.name] == suite.id, suite.tests, suite.success,
            suite.failures, suite.errors, suite.skipped, suite.time, found["distinct_cases"] if found else 0, *states, 0,
            _properties(suite),
        )  # fmt: skip


def _properties(suite: Suite) -> bytes:
    return msgspec.json.encode([Property(name, value) for name, value in suite.properties])


def _counts(summary: Summary) -> dict[str, int]:
    return {
        "total": summary.total,
        "success": summary.success,
        "skips": summary.skips,
        "failures": summary.failures,
        "errors": summary.errors,
        "time": summary.time,
    }
