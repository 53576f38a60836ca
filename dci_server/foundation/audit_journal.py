# SPDX-License-Identifier: Apache-2.0
"""Audits between the answer and the database: lines of a file, which the kernel keeps when the process is killed.

Nothing waits for a disk here; a machine that loses power loses what was not in the database yet.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from dci_server.foundation.identifiers import new_id

_SUFFIX = ".audits"
_PIECE = 256 * 1024
"""Of a file, read at once; each piece becomes one statement."""


class Audited(msgspec.Struct, frozen=True, array_like=True):
    """One line, as it is stored. What comes to it later comes at the end, with a default: other versions read it too."""

    id: UUID
    created_at: datetime
    user_id: UUID | None
    kind: str | None
    action: str
    method: str
    path: str
    status: int
    address: str
    subject_id: UUID | None = None
    claimed_id: UUID | None = None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Audited)


def line_of(audited: Audited) -> bytes:
    return _ENCODER.encode(audited) + b"\n"


class Journal:
    """A file that one process appends to. It is locked for as long as that lives, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, directory: Path) -> "Journal":
        """Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = directory / f"{new_id().hex}{_SUFFIX}"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR, 0o600)
            try:
                if _locked(descriptor):
                    return cls(path, descriptor)
            except OSError:
                path.unlink(missing_ok=True)
                raise
            # Somebody who looks for journals of the dead was faster than our lock.

    @classmethod
    def of_the_dead(cls, path: Path) -> "Journal | None":
        """None while its process lives, and when somebody else has taken it. Raises OSError."""
        try:
            descriptor = os.open(path, os.O_APPEND | os.O_RDWR)
        except FileNotFoundError:
            return None
        return cls(path, descriptor) if _locked(descriptor) else None

    @property
    def is_there(self) -> bool:
        """Whether others would find it; somebody may have tidied up."""
        return os.fstat(self._descriptor).st_nlink > 0

    def append(self, line: bytes) -> None:
        """Raises OSError, and is as before then."""
        written = os.write(self._descriptor, line)
        if written < len(line):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(f"only {written} of {len(line)} bytes could be written")
        self.size += written

    def pieces(self) -> Iterator[list[Audited]]:
        return _pieces(self._descriptor)

    def clear(self) -> None:
        if self.size:
            os.ftruncate(self._descriptor, 0)
            self.size = 0

    def close(self) -> None:
        """What is in it waits for whoever looks for journals of the dead."""
        if not self.size:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def journals_in(directory: Path) -> list[Path]:
    """The oldest first."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def pieces_of(path: Path) -> Iterator[list[Audited]]:
    """What another process has noted and not written down yet."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        yield from _pieces(file.fileno())


def _pieces(descriptor: int) -> Iterator[list[Audited]]:
    offset = 0
    while True:
        piece = os.pread(descriptor, _PIECE, offset)
        end = piece.rfind(b"\n") + 1
        if not end:
            return
        offset += end
        yield list(_read(piece[:end]))


def _read(piece: bytes) -> Iterator[Audited]:
    for line in piece.splitlines():
        # Its process was killed within the line, and so before the answer.
        with suppress(msgspec.DecodeError):
            yield _DECODER.decode(line)


def _locked(descriptor: int) -> bool:
    """Whether the file is ours now and still there; closed otherwise. Raises OSError where files can't be locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return True
    except BlockingIOError:
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return False
