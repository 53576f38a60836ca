# SPDX-License-Identifier: Apache-2.0
"""A report is parsed while it arrives, and its cases are set aside: they become rows when it is proven who sends them.

What is set aside is smaller than the report, in memory while it is little, then in a file without a name. It is parsed on
the event loop, in slices of half a millisecond and one slice at a time in the process: with one interpreter lock a thread makes
others wait for longer, and costs more.
"""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

import msgspec

from dci_server.features.test_results.junit import Action, Case, InvalidXml, JunitParser, Span, Summary
from dci_server.foundation.content import Unreadable
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.storage import Notes, Store

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_UNPROVEN = 4
"""Reports that are parsed at once in a process before it is known who sends them; the others are parsed when it is."""
MOST_CASES = 2_000_000
"""Of a report with more, cases are counted and do not become rows: eleven bytes of it would be two hundred of them."""
_SLICE = 16 * 1024
_CASES_AT_ONCE = 4_000
_TEXT_AT_ONCE = 2 * 1024 * 1024
_FASTEST = 1

When = Literal["arriving", "arrived"]

_Told = tuple[int, int, str, str, float, Action, str | None, str | None, Span | None, Span | None, Span | None]
"""A `Case`."""
Batch = tuple[Sequence[bytes], Sequence[_Told]]
"""The keys of some cases, and the cases."""
_BATCH = msgspec.msgpack.Decoder(tuple[list[bytes], list[_Told]])


class Shared:
    """What the readings of one process share."""

    def __init__(self, metrics: Metrics) -> None:
        self.turn = asyncio.Lock()
        self.unproven = 0
        self.metrics = metrics


class JunitParsing:
    """Of one report."""

    def __init__(self, store: Store, shared: Shared, *, is_proven: bool) -> None:
        self.taken = 0
        self.has_too_many_cases = False
        self._count = 0
        self._store = store
        self._shared = shared
        self._parser = JunitParser()
        self._refusal: InvalidXml | None = None
        self._keys: list[bytes] = []
        self._cases: list[Case] = []
        self._text = 0
        self._notes: Notes | None = None
        self._lengths: list[int] = []
        self._is_unproven = not is_proven and shared.unproven < MOST_UNPROVEN
        self._waits = not is_proven and not self._is_unproven
        shared.unproven += self._is_unproven

    @property
    def encoding(self) -> str:
        return self._parser.encoding

    async def take(self, piece: bytes) -> None:
        if not self._waits:
            await self._parse(piece, "arriving")

    async def read_to_end(self, rest: Callable[[int], AsyncIterator[bytes]]) -> Summary:
        """When it is proven who sends. Raises Unreadable."""
        self._leave()
        async for chunk in rest(self.taken):
            await self._parse(chunk, "arrived")
        try:
            if self._refusal is not None:
                raise self._refusal
            last, summary = self._parser.close()
        except InvalidXml as refusal:
            raise Unreadable(refusal.message) from refusal
        await self._keep(last)
        return summary

    async def batches(self) -> AsyncIterator[Batch]:
        start = 0
        for length in self._lengths:
            assert self._notes is not None
            yield _BATCH.decode(zstd.decompress(b"".join([piece async for piece in self._notes.read(start, length)])))
            start += length
        if self._cases:
            yield self._keys, self._cases

    async def close(self) -> None:
        self._leave()
        await self._forget()

    def _leave(self) -> None:
        self._shared.unproven -= self._is_unproven
        self._is_unproven = False

    async def _forget(self) -> None:
        self._waits = True
        await self._drop()

    async def _drop(self) -> None:
        self._keys, self._cases, self._lengths, self._text = [], [], [], 0
        notes, self._notes = self._notes, None
        if notes is not None:
            await notes.discard()

    async def _parse(self, piece: bytes, when: When) -> None:
        """After an error the rest is only received."""
        self.taken += len(piece)
        for start in range(0, len(piece), _SLICE):
            if self._refusal is not None:
                return
            async with self._shared.turn:
                part = piece[start : start + _SLICE]
                self._shared.metrics.count_report_bytes(when, len(part))
                try:
                    await self._keep(self._parser.feed(part))
                except InvalidXml as refusal:
                    self._refusal = refusal
                    await self._forget()
                # Whoever waits is answered in between.
                await asyncio.sleep(0)
            if len(self._cases) >= _CASES_AT_ONCE or self._text > _TEXT_AT_ONCE:
                await self._set_aside()

    async def _keep(self, cases: list[Case]) -> None:
        self._count += len(cases)
        if self._count <= MOST_CASES:
            self._add(cases)
        elif not self.has_too_many_cases:
            self.has_too_many_cases = True
            await self._drop()

    def _add(self, cases: list[Case]) -> None:
        self._keys += map(self._key, cases)
        self._cases += cases
        self._text += sum(
            len(case.name) + len(case.classname) + len(case.message or "") + len(case.type or "") for case in cases
        )

    async def _set_aside(self) -> None:
        if self._notes is None:
            self._notes = self._store.begin_notes()
        packed = zstd.compress(msgspec.msgpack.encode((self._keys, self._cases)), _FASTEST)
        self._keys, self._cases, self._text = [], [], 0
        self._lengths.append(len(packed))
        await self._notes.write(packed)

    def _key(self, case: Case) -> bytes:
        """What makes a case the same one in another run; no name has a NUL."""
        suite = self._parser.suite_name(case.suite)
        return hashlib.blake2b(f"{suite}\0{case.classname}\0{case.name}".encode(), digest_size=16).digest()
