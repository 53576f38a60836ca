# SPDX-License-Identifier: Apache-2.0
"""Eight bytes that the worker processes of one server share: whoever changed an identity changes them before answering."""

import mmap
import os
import secrets
from pathlib import Path
from typing import Protocol

SIZE = 8


class Neighbours(Protocol):
    """The other workers of this server."""

    def last_change(self) -> bytes:
        """Another value than before, when one of them has changed an identity."""
        ...

    def tell(self) -> None:
        """From now on every `last_change` is another."""
        ...


class Nobody:
    """One process alone."""

    def last_change(self) -> bytes:
        return b""

    def tell(self) -> None:
        pass


class SharedMemory:
    """A file of `SIZE` bytes that each worker maps. Values are random, so that of two writers none is overlooked."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._bytes = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)

    def last_change(self) -> bytes:
        return self._bytes[:SIZE]

    def tell(self) -> None:
        self._bytes[:SIZE] = secrets.token_bytes(SIZE)


def neighbours_of(path: str | None) -> Neighbours:
    return Nobody() if not path else SharedMemory(Path(path))
