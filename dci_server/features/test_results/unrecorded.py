# SPDX-License-Identifier: Apache-2.0
"""Reports whose cases are no rows: files of another kind, of an imported hub, or older than what is kept of cases.

They are read from their file each time somebody looks, and compared with nothing.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain
from typing import NamedTuple, cast

import msgspec

from dci_server.features.files.actions import read_content
from dci_server.features.test_results.json_pieces import opened
from dci_server.features.test_results.junit import (
    Action,
    Case,
    JunitParser,
    Span,
    Suite,
    read_text,
)
from dci_server.features.test_results.model import (
    JobOfReport,
    Property,
    ReportHead,
    TestcaseHead,
    TestsuiteHead,
)
from dci_server.foundation.database.connection import Record
from dci_server.foundation.errors import TooLarge
from dci_server.foundation.http import Call

MAX_REPORT_BYTES = 8 * 1024 * 1024
MAX_CASES = 50_000
"""Beyond either, a report is to be downloaded: its cases are sorted, so they are in memory together."""
_BYTES_OF_A_CASE = 64
_SLICE = 64 * 1024


async def read_report(call: Call, file: Record) -> AsyncIterator[bytes]:
    """The suites and cases of a file, with their texts: JSON in pieces."""
    if file["size"] > MAX_REPORT_BYTES:
        raise _too_large(f"{MAX_REPORT_BYTES} bytes")
    # In turns, because a report costs several times its size in memory.
    async with call.services.report_turns.of(file["size"] // _BYTES_OF_A_CASE):
        content = b"".join([chunk async for chunk in await read_content(call, file)])
        # In a thread, others are answered meanwhile. Packed: a client that takes the answer slowly keeps little of it.
        packed = await asyncio.to_thread(lambda: [zlib.compress(piece, 1) for piece in _answer(file, content)])
    return _unpacked(packed)


def _too_large(limit: str) -> TooLarge:
    return TooLarge(f"the report has more than {limit}; download it (GET /files/<id>/content)")


async def _unpacked(packed: list[bytes]) -> AsyncIterator[bytes]:
    packed.reverse()
    while packed:
        yield zlib.decompress(packed.pop())


def _answer(file: Record, content: bytes) -> Iterator[bytes]:
    job = JobOfReport(str(file["job_id"]), cast("str", file["job_name"]))
    head = ReportHead(str(file["id"]), file["name"], job, None)
    return _gathered(chain((opened(head, "testsuites"),), _list(_Reading(content).suites()), (b"}",)))


class _Reading:
    """A report on its way to its JSON; cases are kept packed, because as objects they cost ten times as much."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._parser = JunitParser()
        self._count = 0
        self._suites: dict[int, dict[bytes, bytes]] = {}
        for start in range(0, len(content), _SLICE):
            self._keep(self._parser.feed(content[start : start + _SLICE]))
        last, self._summary = self._parser.close()
        self._keep(last)

    def suites(self) -> Iterator[Iterator[bytes]]:
        for suite in self._summary.suites:
            yield self._suite(suite, self._suites.pop(suite.opened, {}))

    def _keep(self, cases: list[Case]) -> None:
        """Of cases with one name and class the last is told; the counters count all (junit.md §4)."""
        self._count += len(cases)
        if self._count > MAX_CASES:
            raise _too_large(f"{MAX_CASES} cases")
        for case in cases:
            # Sorted as bytes, UTF-8 has the order of its characters, and no name has a NUL.
            key = f"{case.name}\0{case.classname}".encode()
            self._suites.setdefault(case.suite, {})[key] = msgspec.msgpack.encode(case[4:])

    def _suite(self, suite: Suite, cases: dict[bytes, bytes]) -> Iterator[bytes]:
        head = TestsuiteHead(
            id=suite.id,
            name=suite.name,
            tests=suite.tests,
            success=suite.success,
            failures=suite.failures,
            errors=suite.errors,
            skipped=suite.skipped,
            time=suite.time,
            additions=len(cases),
            deletions=0,
            unchanged=0,
            regressions=0,
            successfixes=0,
        )
        properties = ((msgspec.json.encode(Property(name, value)),) for name, value in suite.properties)
        yield opened(head, "properties")
        yield from _list(properties)
        yield b',"testcases":'
        yield from _list(self._case(key, cases[key]) for key in sorted(cases))
        yield b"}"

    def _case(self, key: bytes, packed: bytes) -> Iterator[bytes]:
        name, classname = key.decode().split("\0")
        case = msgspec.msgpack.decode(packed, type=_Kept)
        head = TestcaseHead(name, classname, case.time, case.action, case.message, case.type)
        yield opened(head, "value")
        yield from (b'""',) if case.action == "success" else self._text(case.value)
        yield b',"stdout":'
        yield from self._text(case.stdout)
        yield b',"stderr":'
        yield from self._text(case.stderr)
        yield b"}"

    def _text(self, span: Span | None) -> Iterator[bytes]:
        if span is None:
            yield b"null"
            return
        is_empty = True
        for text in read_text(self._content[span[0] : span[1]], self._parser.encoding):
            if is_empty and text:
                yield b'"'
                is_empty = False
            yield msgspec.json.encode(text)[1:-1]
        yield b"null" if is_empty else b'"'


class _Kept(NamedTuple):
    """What a case is told by, besides its names."""

    time: float
    action: Action
    message: str | None
    type: str | None
    value: Span | None
    stdout: Span | None
    stderr: Span | None


def _list(items: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    separator = b"["
    for item in items:
        yield separator
        yield from item
        separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A hundred cases or so at once: each piece of an answer costs a round through the server."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _SLICE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
