# SPDX-License-Identifier: Apache-2.0
"""Plain files: `<root>/<key>`, unfinished ones in `<root>/tmp`, so that publishing is one rename on one file system."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import uuid4

from dci_server.foundation.errors import Conflict
from dci_server.foundation.storage.store import (
    LISTED_AT_ONCE,
    MIB,
    TEMPORARY,
    Entry,
    ObjectMissing,
    Stat,
    StoreUnavailable,
    end_of,
    pieces,
    require_valid_key,
)
from dci_server.foundation.storage.upload import Spool, SpooledUpload, unavailable_when_it_fails, write_all

PLACE = "the file store"
PROBE = b"dci-server was here"
TRIES = 10
_SETTLED_AT_ONCE = 16 * MIB


class FilesystemStore:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def begin(self) -> "FilesystemUpload":
        return FilesystemUpload(self._root)

    def begin_notes(self) -> "FilesystemNotes":
        return FilesystemNotes(self._root)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        # What fits into one piece is opened and read in one go: changing threads is most of what a small read costs.
        path = self._path_of(key)
        opened, end, first = await asyncio.to_thread(_begin_reading, path, start, length)
        return _continued(first, opened, start + len(first), end)

    async def size(self, key: str) -> int | None:
        found = await self.stat(key)
        return None if found is None else found.size

    async def stat(self, key: str) -> Stat | None:
        return await asyncio.to_thread(_stat, self._path_of(key))

    async def presign(self, method: str, key: str, seconds: int) -> str | None:  # noqa: ARG002 # only buckets can
        require_valid_key(key)
        return None

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(_delete, self._root, self._path_of(key))

    async def entries(self, prefix: str) -> AsyncIterator[list[Entry]]:
        found = _walk(self._root, self._path_of(prefix))
        while some := await asyncio.to_thread(lambda: list(islice(found, LISTED_AT_ONCE))):
            yield some

    async def check(self) -> None:
        await asyncio.to_thread(_probe, self._root)

    async def sweep(self, older_than: timedelta) -> int:
        """A living upload touches its file with every MiB: choose hours, not minutes."""
        return await asyncio.to_thread(_sweep, self._root, time.time() - older_than.total_seconds())

    def _path_of(self, key: str) -> Path:
        require_valid_key(key)
        return self._root / key


class FilesystemUpload(SpooledUpload):
    place = PLACE

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._temporary = root / TEMPORARY / str(uuid4())
        self._written = 0
        self._settled = 0

    def _open_file(self) -> int:
        return _create(self._root, self._temporary)

    def _append(self, data: bytes | bytearray) -> int:
        descriptor = super()._append(data)
        self._written += len(data)
        if self._written - self._settled >= _SETTLED_AT_ONCE:
            try:
                with unavailable_when_it_fails(PLACE):
                    _settle(descriptor, self._settled, self._written)
            except StoreUnavailable:
                self._discard()
                raise
            self._settled = self._written
        return descriptor

    def _remove_file(self) -> None:
        # A file that cannot be removed now is removed by the next sweep.
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    async def _publish(self, tail: bytearray, key: str, disposition: str | None) -> None:  # noqa: ARG002 # never served from there
        await asyncio.to_thread(self._publish_now, tail, self._root / key)

    def _publish_now(self, tail: bytearray, target: Path) -> None:
        descriptor = self._append(tail)
        try:
            with unavailable_when_it_fails(PLACE):
                os.fsync(descriptor)
                _move(self._root, self._temporary, target)
        finally:
            self._discard()

    async def _withdraw(self, key: str) -> None:
        await asyncio.to_thread(_delete, self._root, self._root / key)


class FilesystemNotes(Spool):
    place = PLACE

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def _open_file(self) -> int:
        path = self._root / TEMPORARY / str(uuid4())
        descriptor = _create(self._root, path)
        path.unlink()
        return descriptor

    def _remove_file(self) -> None:
        """It never had a name for longer than a moment."""


class OpenedFile:
    """Closed when nobody holds it any more, whether or not somebody began to read."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    async def read(self, start: int, length: int) -> bytes:
        return await asyncio.to_thread(self.read_now, start, length)

    def read_now(self, start: int, length: int) -> bytes:
        with unavailable_when_it_fails(PLACE):
            return os.pread(self._descriptor, length, start)

    def __del__(self) -> None:
        os.close(self._descriptor)


def _open_for_reading(path: Path) -> OpenedFile:
    with unavailable_when_it_fails(PLACE):
        try:
            # A key can name a directory, or be below a file, when it was made from a path somebody gave.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissing from None
        found = os.fstat(descriptor)
        opened = OpenedFile(descriptor, found.st_size)
    if not stat.S_ISREG(found.st_mode):
        raise ObjectMissing
    return opened


def _begin_reading(path: Path, start: int, length: int | None) -> tuple[OpenedFile | None, int, bytes]:
    """The first piece of a range, where the range ends, and the file unless that was all."""
    opened = _open_for_reading(path)
    end = end_of(opened.size, start, length)
    first = opened.read_now(start, min(MIB, end - start)) if start < end else b""
    return (opened if start + len(first) < end else None), end, first


async def _continued(first: bytes, opened: OpenedFile | None, start: int, end: int) -> AsyncIterator[bytes]:
    if first:
        yield first
    if opened is not None:
        async for piece in pieces(opened.read, start, end, MIB):
            yield piece


def _stat(path: Path) -> Stat | None:
    with unavailable_when_it_fails(PLACE):
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    if not stat.S_ISREG(found.st_mode):
        return None
    etag = f"{found.st_mtime_ns:x}-{found.st_size:x}"
    return Stat(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), etag)


def _walk(root: Path, directory: Path) -> Iterator[Entry]:
    """What goes away meanwhile is not there."""
    with unavailable_when_it_fails(PLACE):
        for place, _, names in os.walk(directory):
            for name in names:
                path = Path(place, name)
                with suppress(FileNotFoundError):
                    yield Entry(str(path.relative_to(root)), path.stat().st_size)


def _create(root: Path, path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        _make_root(root)
        _make_directories(root, path.parent)
        return os.open(path, flags, 0o600)


def _settle(descriptor: int, start: int, end: int) -> None:
    """Brings these bytes to the disk and takes them out of the system's cache, where nobody needs them.

    A gigabyte that stays there takes the place of what the database reads, pays for a gigabyte of fresh memory, and has to
    be written while somebody waits for the commit.
    """
    if sys.platform == "linux":
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def _make_root(root: Path) -> None:
    if not root.exists():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(root.parent)


def _make_directories(root: Path, directory: Path) -> None:
    for path in reversed([directory, *directory.parents]):
        if path.is_relative_to(root) and path != root:
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)


def _move(root: Path, source: Path, target: Path) -> None:
    try:
        _rename(root, source, target)
    except (NotADirectoryError, IsADirectoryError) as error:
        raise Conflict("Another file has a part of this path as its name: choose a different path") from error
    try:
        # All of them each time: another upload may have made a directory and not have synced it yet.
        for directory in _directories_between(root, target):
            _sync_directory(directory)
        _sync_directory(root)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _rename(root: Path, source: Path, target: Path) -> None:
    """More than once: a deletion may take an empty directory away between the two calls."""
    for tries_left in reversed(range(TRIES)):
        try:
            _make_directories(root, target.parent)
            source.rename(target)
        except FileNotFoundError:
            if not tries_left or not source.exists():
                raise
        else:
            return


def _directories_between(root: Path, path: Path) -> list[Path]:
    """From the innermost outwards, without the root."""
    return [parent for parent in path.parents if parent.is_relative_to(root) and parent != root]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete(root: Path, path: Path) -> None:
    with unavailable_when_it_fails(PLACE):
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        # Somebody else may have removed that one too by now, and synced what was above it.
        with suppress(FileNotFoundError):
            _sync_directory(_remove_empty_directories(root, path))


def _remove_empty_directories(root: Path, path: Path) -> Path:
    """The innermost directory that stays."""
    for directory in _directories_between(root, path):
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return directory
    return root


def _probe(root: Path) -> None:
    path = root / TEMPORARY / str(uuid4())
    with unavailable_when_it_fails(PLACE):
        descriptor = _create(root, path)
        try:
            write_all(descriptor, PROBE)
            os.fsync(descriptor)
            found = os.pread(descriptor, len(PROBE) + 1, 0)
        finally:
            os.close(descriptor)
            path.unlink()
    if found != PROBE:
        raise StoreUnavailable(f"{PLACE} does not give back what was written to it: check its disk")


def _sweep(root: Path, oldest: float) -> int:
    with unavailable_when_it_fails(PLACE):
        try:
            found = list((root / TEMPORARY).iterdir())
        except FileNotFoundError:
            return 0
        return sum(_remove_if_older(path, oldest) for path in found)


def _remove_if_older(path: Path, oldest: float) -> bool:
    try:
        if path.stat().st_mtime > oldest:
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True
