# SPDX-License-Identifier: Apache-2.0
"""How files are laid out in a pack: compressed frames, one after the other, each to be read on its own."""

import sys
from dataclasses import dataclass, field
from uuid import UUID

from dci_server.foundation.storage import StoreUnavailable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES = 64 * 1024
"""Of content: similar logs side by side compress well, and reading one of them unpacks no more than this."""
_LEVEL = 9

FEWEST_FILES = 4
"""Fewer stay where they are: an object of their own would cost more than it gives back."""
MOST_FILES = 5_000
"""In one pack; of a job with more, the rest goes into the next one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a file is."""

    file_id: UUID
    frame_start: int
    frame_size: int
    start: int


@dataclass(slots=True)
class Frame:
    """Files that are compressed together."""

    content: bytearray = field(default_factory=bytearray)
    starts: list[tuple[UUID, int]] = field(default_factory=list[tuple[UUID, int]])

    def has_room_for(self, content: bytes) -> bool:
        return not self.starts or len(self.content) + len(content) <= FRAME_BYTES

    def add(self, file_id: UUID, content: bytes) -> None:
        self.starts.append((file_id, len(self.content)))
        self.content += content

    def compressed(self) -> bytes:
        return zstd.compress(self.content, _LEVEL)

    def entries(self, frame_start: int, frame_size: int) -> list[Entry]:
        return [Entry(file_id, frame_start, frame_size, start) for file_id, start in self.starts]


def unpacked(frame: bytes) -> bytes:
    try:
        return zstd.decompress(frame)
    except zstd.ZstdError as error:
        raise StoreUnavailable("a pack in the file store is damaged: restore it from a backup") from error
