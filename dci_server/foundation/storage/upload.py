# SPDX-License-Identifier: Apache-2.0
"""An upload that collects its bytes in a local file nobody sees, and is published in one step at the end."""

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from dci_server.foundation.storage.store import MIB, StoreUnavailable, end_of, pieces, require_valid_key

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Spool(ABC):
    """The last MiB stays in memory: what is small touches no file, what is big stays flat."""

    place: ClassVar[str]

    def __init__(self) -> None:
        self.size = 0
        self._tail = bytearray()
        self._descriptor: int | None = None
        self._over = False
        self._running: asyncio.Task[None] | None = None

    async def write(self, chunk: bytes) -> None:
        self._require_open()
        self.size += len(chunk)
        if not self._tail and len(chunk) >= MIB:
            await self._finish(partial(self._spool, chunk))
            return
        self._tail += chunk
        if len(self._tail) >= MIB:
            await self._finish(self._spool_tail)

    async def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """What was written so far, in pieces of a MiB."""
        self._require_open()
        end = end_of(self.size, start, length)
        if self.size == len(self._tail):
            if start < end:
                yield bytes(self._tail[start:end])
            return
        if self._tail:
            await self._finish(self._spool_tail)
        async for piece in pieces(self._read_at, start, end, MIB):
            yield piece

    async def discard(self) -> None:
        await asyncio.shield(asyncio.ensure_future(self._end()))

    @abstractmethod
    def _open_file(self) -> int:
        """A descriptor of a new file, for reading and writing; runs in a thread."""

    @abstractmethod
    def _remove_file(self) -> None:
        """Takes the file's name away if it still has one; runs in a thread."""

    async def _finish(self, step: Callable[[], Coroutine[None, None, None]]) -> None:
        """To its end, even if the caller is cancelled: a thread cannot be stopped while it uses the descriptor."""
        await self._wait_for_running_step()
        self._running = asyncio.ensure_future(step())
        await asyncio.shield(self._running)

    async def _wait_for_running_step(self) -> None:
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _end(self) -> None:
        await self._wait_for_running_step()
        await asyncio.to_thread(self._discard)

    async def _spool_tail(self) -> None:
        await self._spool(self._take_tail())

    async def _spool(self, data: bytes | bytearray) -> None:
        await asyncio.to_thread(self._append, data)

    async def _read_at(self, start: int, length: int) -> bytes:
        return await asyncio.to_thread(self._read_file, start, length)

    def _take_tail(self) -> bytearray:
        tail, self._tail = self._tail, bytearray()
        return tail

    def _append(self, data: bytes | bytearray) -> int:
        """The file, which holds everything up to here."""
        try:
            with unavailable_when_it_fails(self.place):
                if self._descriptor is None:
                    self._descriptor = self._open_file()
                write_all(self._descriptor, data)
                return self._descriptor
        except StoreUnavailable:
            self._discard()
            raise

    def _read_file(self, start: int, length: int) -> bytes:
        if self._descriptor is None:
            raise _used_after_the_end()
        with unavailable_when_it_fails(self.place):
            return os.pread(self._descriptor, length, start)

    def _discard(self) -> None:
        self._over = True
        self._tail.clear()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
            self._remove_file()

    def _require_open(self) -> None:
        if self._over:
            raise _used_after_the_end()


class SpooledUpload(Spool):
    def __init__(self) -> None:
        super().__init__()
        self._published_key: str | None = None
        self._acknowledged = False

    async def commit(self, key: str, disposition: str | None = None) -> None:
        require_valid_key(key)
        self._require_open()
        await self._finish(partial(self._commit, key, disposition))
        self._acknowledged = True

    async def abort(self) -> None:
        if not self._acknowledged:
            await asyncio.shield(asyncio.ensure_future(self._undo()))

    @abstractmethod
    async def _publish(self, tail: bytearray, key: str, disposition: str | None) -> None:
        """Makes the spooled bytes and the tail one durable, visible object."""

    @abstractmethod
    async def _withdraw(self, key: str) -> None:
        """Takes back what `_publish` did."""

    async def _commit(self, key: str, disposition: str | None) -> None:
        self._over = True
        await self._publish(self._take_tail(), key, disposition)
        self._published_key = key

    async def _undo(self) -> None:
        await self._end()
        if self._published_key is not None:
            # The commit went through, but whoever asked for it was gone before it could be told.
            key, self._published_key = self._published_key, None
            await self._withdraw(key)


def _used_after_the_end() -> RuntimeError:
    return RuntimeError("this upload is over: begin another one")


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def unavailable_when_it_fails(place: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(_what_to_do(error, place)) from error


def _what_to_do(error: OSError, place: str) -> str:
    if error.errno in FULL:
        return f"{place} is full: free some space on its disk, or give it a bigger one"
    if error.errno in FORBIDDEN:
        return f"{place} refuses the server's account: let it read and write there"
    return f"{place} does not work ({error.strerror}): look at its disk, then try again"
