# SPDX-License-Identifier: Apache-2.0
"""The cases of a report become rows while it is parsed, and are compared with those of the previous run.

They are written some thousands at once, in short statements, under a number that no result has yet: nobody sees them, no
transaction waits for a long report, and memory stays flat. The statement that inserts the result claims them; what is
never claimed is removed (`removal.py`).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID
from xml.parsers import expat

import msgspec

from dci_server.features.test_results import queries
from dci_server.features.test_results.junit import Case, InvalidXml, JunitParser, Suite, Summary
from dci_server.features.test_results.model import Property
from dci_server.features.test_results.outline import outline_of
from dci_server.foundation.content import Destination, Unreadable
from dci_server.foundation.database.connection import Connection, Record
from dci_server.foundation.errors import Unavailable

_SLICE = 64 * 1024
_CASES_AT_ONCE = 4_000
_TEXT_AT_ONCE = 2 * 1024 * 1024
_SUITES_AT_ONCE = 1_000
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """The cases that are there, and what the result says of them."""

    target: Record
    counts: dict[str, int]
    encoding: str


class JunitReader:
    """Reads an upload whose mime is `application/junit`."""

    async def read(self, db: Connection, destination: Destination, chunks: AsyncIterator[bytes]) -> Recorded | None:
        """None when there is no such job, or not for this caller, so that the file will be refused."""
        target = await queries.announce_cases(db, destination)
        if target is None:
            return None
        recording = _Recording(db, target)
        try:
            async for chunk in chunks:
                for start in range(0, len(chunk), _SLICE):
                    await recording.feed(chunk[start : start + _SLICE])
                    # The parser is Python that keeps the event loop: whoever waits is answered in between.
                    await asyncio.sleep(0)
            return await recording.finish()
        except Exception as error:
            await queries.give_up_cases(db, target["number"])
            if isinstance(error, InvalidXml):
                raise Unreadable(error.message) from error
            raise

    async def store(self, db: Connection, file_id: UUID, findings: Recorded | None) -> None:
        assert findings is not None
        if not await queries.insert_result(db, file_id, findings.target, findings.encoding, findings.counts):
            raise Unavailable("the report took too long to be read; send it again")

    async def outline(self, content: bytes) -> bytes:
        try:
            return await asyncio.to_thread(outline_of, content)
        except expat.ExpatError as error:
            raise Unreadable("the file can't be compared: it is no report that can be read") from error

    async def replace(self, db: Connection, file_id: UUID, findings: Recorded | None) -> None:
        """The places of the texts are others."""
        await queries.delete_result(db, file_id)
        await self.store(db, file_id, findings)

    async def give_up(self, db: Connection, findings: Recorded | None) -> None:
        if findings is not None:
            await queries.give_up_cases(db, findings.target["number"])


class _Recording:
    def __init__(self, db: Connection, target: Record) -> None:
        self._db = db
        self._target = target
        self._parser = JunitParser()
        self._waiting: list[tuple[str, Case]] = []
        self._waiting_text = 0
        self._position = 0
        # A report may repeat one case a million times, and each look would walk over all of the previous run's.
        self._known: dict[bytes, _Known] = {}

    async def feed(self, chunk: bytes) -> None:
        await self._take(self._parser.feed(chunk))

    async def finish(self) -> Recorded:
        last, summary = self._parser.close()
        await self._take(last)
        await self._write()
        compared = await queries.count_states(self._db, self._target)
        totals: dict[str, int] = dict.fromkeys(queries.STATE_COUNTS, 0)
        for rows in _batches(_suite_rows(self._target["number"], summary, compared, totals), _SUITES_AT_ONCE):
            await queries.insert_suites(self._db, rows)
        deletions = 0
        if self._target["previous_number"] is not None:
            deletions = await queries.count_deletions(self._db, self._target)
        return Recorded(self._target, {**_counts(summary), **totals, "deletions": deletions}, self._parser.encoding)

    async def _take(self, cases: list[Case]) -> None:
        for case in cases:
            suite = self._parser.suite_name(case.suite)
            self._waiting.append((suite, case))
            self._waiting_text += len(suite) + len(case.name) + len(case.classname) + len(case.type or "")
            if len(self._waiting) >= _CASES_AT_ONCE or self._waiting_text > _TEXT_AT_ONCE:
                await self._write()

    async def _write(self) -> None:
        if not self._waiting:
            return
        keys = [_key(suite, case) for suite, case in self._waiting]
        await self._look_up(keys)
        number, moment, team = self._target["number"], self._target["created_at"], self._target["team_id"]
        rows = (
            (
                moment, number, known[0], team, position, case.suite, case.action, known[1],
                case.time, *(case.value or _NOWHERE), *(case.stdout or _NOWHERE), *(case.stderr or _NOWHERE),
                case.type, case.message,
            )
            for position, (known, (_, case)) in enumerate(
                zip(map(self._known.__getitem__, keys), self._waiting, strict=True), self._position
            )
        )  # fmt: skip
        await queries.insert_cases(self._db, rows)
        self._position += len(self._waiting)
        self._waiting.clear()
        self._waiting_text = 0

    async def _look_up(self, keys: list[bytes]) -> None:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        names = {key: waiting for key, waiting in zip(keys, self._waiting, strict=True) if key not in self._known}
        # In one order everywhere: two reports with the same new names don't wait for each other crosswise.
        wanted = sorted(names)
        if not wanted:
            return
        found = await queries.find_tests(self._db, wanted, self._target)
        self._known.update((key, (row["id"], row["previous_status"])) for key, row in zip(wanted, found, strict=True))
        new = [key for key in wanted if self._known[key][0] is None]
        if new:
            rows = [(key, suite, case.classname, case.name) for key in new for suite, case in (names[key],)]
            added = await queries.add_tests(self._db, rows)
            self._known.update((key, (test_id, None)) for key, test_id in added.items())


_Known = tuple[int | None, str | None]
"""The id of a case's names, and its status in the previous run."""
_NOWHERE = (None, None)


def _key(suite: str, case: Case) -> bytes:
    """What makes a case the same one in another run; no name has a NUL."""
    names = f"{suite}\0{case.classname}\0{case.name}".encode()
    return hashlib.blake2b(names, digest_size=16).digest()


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
