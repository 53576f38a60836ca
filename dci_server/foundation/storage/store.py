# SPDX-License-Identifier: Apache-2.0
"""What every file store does, and what it answers when it cannot."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from dci_server.foundation.errors import ApiError, NotFound, Unavailable

MIB = 1024 * 1024
TEMPORARY = "tmp"
LISTED_AT_ONCE = 1000
LONGEST_KEY = 1024
LONGEST_SEGMENT = 255
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


class StoreUrlError(ValueError):
    """The setting cannot be used; the message says what can."""


class ObjectMissing(NotFound):
    """The row says there is a file, the store does not have it (files §5.1: 404)."""

    def __init__(self) -> None:
        super().__init__("file")


class StoreUnavailable(Unavailable):
    """The store cannot do its work; the message says what an operator can do about it."""


class InvalidKey(ApiError):
    """A key that could leave the store, or that some store could not hold."""

    def __init__(self) -> None:
        super().__init__("The path of the file is not valid: use names separated by single slashes, without '..'")


class Stat(NamedTuple):
    """What a store says of an object."""

    size: int
    modified: datetime
    etag: str
    """Changes when the bytes do."""


class Entry(NamedTuple):
    """An object, as a list of the store has it."""

    key: str
    size: int


class Upload(Protocol):
    """An object nobody can see yet."""

    size: int

    async def write(self, chunk: bytes) -> None: ...

    async def commit(self, key: str, disposition: str | None = None) -> None:
        """Durable, then visible under the key, then back. To undo it afterwards, delete the key.

        A bucket that hands the object out itself says the `Content-Disposition`, and never what kind of thing it is.
        """
        ...

    async def abort(self) -> None:
        """Nothing is left, whatever happened before; does nothing after a commit that succeeded."""
        ...

    def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """What was written so far; only before the commit."""
        ...


class Notes(Protocol):
    """What is kept beside an upload while it arrives: in memory while it is little, then in a file without a name."""

    size: int

    async def write(self, chunk: bytes) -> None: ...

    def read(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]: ...

    async def discard(self) -> None: ...


class Store(Protocol):
    """Objects under keys like `files/<team>/<job>/<file>` (files §8.1)."""

    async def begin(self) -> Upload: ...

    def begin_notes(self) -> Notes: ...

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Raises `ObjectMissing` before there is anything to iterate over. Ranges beyond the end are cut."""
        ...

    async def size(self, key: str) -> int | None: ...

    async def stat(self, key: str) -> Stat | None:
        """None when there is no such object."""
        ...

    async def presign(self, method: str, key: str, seconds: int) -> str | None:
        """Where anybody can `GET` or `HEAD` the object for a while, whether or not it is there; None if nowhere.

        What is answered there is described by `Upload.commit`: the library signs no words that would change it.
        """
        ...

    async def delete(self, key: str) -> None:
        """A missing object is fine."""
        ...

    def entries(self, prefix: str) -> AsyncIterator[list[Entry]]:
        """All objects whose key begins with these segments, some at once, as they are found."""
        ...

    async def check(self) -> None:
        """Writes, reads and deletes a few bytes; raises `StoreUnavailable` when that fails."""
        ...

    async def sweep(self, older_than: timedelta) -> int:
        """Removes what dead processes left unfinished, and says how many objects that was."""
        ...


def require_valid_key(key: str) -> None:
    segments = key.split("/")
    if CONTROL_CHARACTERS.search(key) or segments[0] == TEMPORARY or not all(map(_is_valid_segment, segments)):
        raise InvalidKey
    if len(key.encode()) > LONGEST_KEY:
        raise InvalidKey


def _is_valid_segment(segment: str) -> bool:
    try:
        return segment not in {"", ".", ".."} and len(segment.encode()) <= LONGEST_SEGMENT
    except UnicodeEncodeError:
        return False


async def pieces(
    read_at: Callable[[int, int], Awaitable[bytes]], start: int, end: int, step: int
) -> AsyncIterator[bytes]:
    """`read_at(position, length)` over the range, one step after the other."""
    while start < end:
        piece = await read_at(start, min(step, end - start))
        if not piece:
            raise StoreUnavailable("a file in the file store is shorter than it was: restore it from a backup")
        yield piece
        start += len(piece)


def end_of(size: int, start: int, length: int | None) -> int:
    return size if length is None else min(size, start + length)
