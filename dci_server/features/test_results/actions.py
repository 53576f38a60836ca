# SPDX-License-Identifier: Apache-2.0
"""What a report looks like to its readers: cases from rows, and their texts from the file, when they are wanted."""

import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple, cast
from uuid import UUID

import msgspec

from dci_server.features.files.actions import content_of_row, read_content
from dci_server.features.files.queries import find_file
from dci_server.features.test_results import queries, unrecorded
from dci_server.features.test_results.json_pieces import opened
from dci_server.features.test_results.junit import TextReader
from dci_server.features.test_results.model import JobOfReport, ReportHead, State, Status, TestcaseHead
from dci_server.foundation.database.connection import Record
from dci_server.foundation.errors import TooLarge
from dci_server.foundation.http import Call

MAX_CASES = 250_000
"""Of a report that is answered as one document; in pages there is no limit."""
_MOST_LOOKED_FOR = 1_000_000
"""Cases of the previous run, once for each suite of the report that has the name of theirs."""
_ROWS_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 1024 * 1024
"""A row may have tens of kibibytes (`junit.LONGEST_NAME`, `LONGEST_MESSAGE`)."""
_MOST_PACKED = 24 * 1024 * 1024
"""Of what waits for its client; 250,000 cases with short names are a tenth of it."""
_PIECE = 64 * 1024


async def read_report(call: Call, file: Record) -> AsyncIterator[bytes]:
    """The suites and cases of a file, with their texts: JSON in pieces."""
    result = await queries.find_result(call.db, file["id"])
    if result is None:
        return await unrecorded.read_report(call, file)
    if result["total"] + result["deletions"] > MAX_CASES or result["looked_for"] > _MOST_LOOKED_FOR:
        raise _too_large(f"more than {MAX_CASES} cases")
    previous = await find_file(call.db, result["previous_file_id"]) if result["previous_number"] else None
    size = result["total"] + result["deletions"] + result["looked_for"]
    # In turns, and packed: whatever its client does, a report waits in little memory and holds no connection.
    async with call.services.report_turns.of(size):
        suites = [_pack(batch) async for batch in queries.list_suites(call.db, result["number"], _ROWS_AT_ONCE)]
        at_once = _ROWS_AT_ONCE
        if file["size"] + (previous["size"] if previous else 0) > _BYTES_AT_ONCE:
            longest = await queries.size_of_longest(call.db, result)
            at_once = max(1, min(at_once, _BYTES_AT_ONCE // max(1, longest)))
        cases: list[bytes] = []
        packed = 0
        async with aclosing(queries.list_report(call.db, result, at_once)) as batches:
            async for batch in batches:
                cases.append(_pack(batch))
                packed += len(cases[-1])
                if packed > _MOST_PACKED:
                    raise _too_large("too long names, types and messages")
    return _gathered(_answer(file, result, suites, cases, _Texts(call, file, result, previous)))


def _too_large(what: str) -> TooLarge:
    return TooLarge(
        f"the report has {what}; read its cases in pages (GET /jobs/<id>/cases), or download it (GET /files/<id>/content)"
    )


class _SuiteRow(NamedTuple):
    id: int
    head: str
    properties: str


class _CaseRow(NamedTuple):
    suite: int
    name: str
    classname: str
    position: int
    time: float
    action: Status
    message: str | None
    type: str | None
    state: State
    value_start: int | None
    value_end: int | None
    stdout_start: int | None
    stdout_end: int | None
    stderr_start: int | None
    stderr_end: int | None


def _pack(batch: Sequence[Record]) -> bytes:
    return zlib.compress(msgspec.msgpack.encode([tuple(row.values()) for row in batch]), 1)


def _unpack(packed: list[bytes], row: type[NamedTuple]) -> Iterator[NamedTuple]:
    packed.reverse()
    while packed:
        yield from msgspec.msgpack.decode(zlib.decompress(packed.pop()), type=list[row])


def _last_ones(rows: Iterator[_CaseRow]) -> Iterator[_CaseRow]:
    """Of cases with one name and class in a suite the last is told (junit.md §4)."""
    last: _CaseRow | None = None
    for row in rows:
        if last is not None and row[:3] != last[:3]:
            yield last
        last = row
    if last is not None:
        yield last


async def _answer(
    file: Record, result: Record, suites: list[bytes], cases: list[bytes], texts: "_Texts"
) -> AsyncIterator[bytes]:
    job = JobOfReport(str(file["job_id"]), cast("str", file["job_name"]))
    previous_id: UUID | None = result["previous_job_id"]
    previous_job = None if previous_id is None else JobOfReport(str(previous_id), result["previous_job_name"])
    yield opened(ReportHead(str(file["id"]), file["name"], job, previous_job), "testsuites")
    told = _last_ones(cast("Iterator[_CaseRow]", _unpack(cases, _CaseRow)))
    case = next(told, None)
    separator = b"["
    for suite in cast("Iterator[_SuiteRow]", _unpack(suites, _SuiteRow)):
        head = suite.head.encode()[:-1]
        yield separator + head + b',"properties":' + suite.properties.encode() + b',"testcases":['
        is_first = True
        while case is not None and case.suite == suite.id:
            if not is_first:
                yield b","
            async for piece in _told(case, texts):
                yield piece
            is_first, case = False, next(told, None)
        yield b"]}"
        separator = b","
    yield b"[]}" if separator == b"[" else b"]}"


async def _told(case: _CaseRow, texts: "_Texts") -> AsyncIterator[bytes]:
    is_removed = case.state == "REMOVED"
    head = TestcaseHead(
        case.name, case.classname, case.time, case.action, case.message, case.type, state=case.state,
        successfix=case.state == "RECOVERED", regression=case.state == "REGRESSED",
    )  # fmt: skip
    yield opened(head, "value")
    if case.action == "success":
        yield b'""'
    else:
        async for piece in texts.told(case.value_start, case.value_end, is_removed):
            yield piece
    for key, start, end in (
        (b',"stdout":', case.stdout_start, case.stdout_end),
        (b',"stderr":', case.stderr_start, case.stderr_end),
    ):
        yield key
        async for piece in texts.told(start, end, is_removed):
            yield piece
    yield b"}"


class _Texts:
    """What cases have written, read from their files; of short ones that lie together many at once.

    Files whose content was removed have nothing to tell.
    """

    def __init__(self, call: Call, file: Record, result: Record, previous: Record | None) -> None:
        self._call = call
        self._files: dict[bool, tuple[Record, str]] = {}
        if file["content_removed_at"] is None:
            self._files[False] = (file, cast("str", result["encoding"]))
        if previous is not None and previous["content_removed_at"] is None:
            self._files[True] = (previous, cast("str", result["previous_encoding"]))
        # Of a report that got new content all of it is in its row: unpacked once, not again for each text.
        self._rows: dict[bool, bytes] = {}
        self._windows: dict[bool, tuple[int, bytes]] = {}

    async def told(self, start: int | None, end: int | None, is_removed: bool) -> AsyncIterator[bytes]:
        """As JSON; null when there is none."""
        if start is None or end is None or is_removed not in self._files:
            yield b"null"
            return
        is_empty = True
        async for text in self._text(start, end, is_removed):
            if text:
                if is_empty:
                    yield b'"'
                is_empty = False
                yield msgspec.json.encode(text)[1:-1]
        yield b"null" if is_empty else b'"'

    async def _text(self, start: int, end: int, is_removed: bool) -> AsyncIterator[str]:
        reader = TextReader(self._files[is_removed][1])
        while start < end:
            piece = await self._bytes(start, min(end, start + _PIECE), is_removed)
            yield reader.feed(piece)
            start += len(piece) or end
        yield reader.close()

    async def _bytes(self, start: int, end: int, is_removed: bool) -> bytes:
        file = self._files[is_removed][0]
        if file["bytes"] is not None:
            if is_removed not in self._rows:
                self._rows[is_removed] = await content_of_row(file)
            return self._rows[is_removed][start:end]
        place, window = self._windows.get(is_removed, (0, b""))
        if not place <= start < end <= place + len(window):
            place = start
            window = b"".join([piece async for piece in await read_content(self._call, file, start, _PIECE)])
            self._windows[is_removed] = place, window
        return window[start - place : end - place]


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A hundred cases or so at once: each piece of an answer costs a round through the server."""
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
