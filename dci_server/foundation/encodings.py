# SPDX-License-Identifier: Apache-2.0
"""Bodies that are compressed on their way here (RFC 9110 §8.4), decoded as they arrive, in bounded memory and time."""

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol

from dci_server.foundation.errors import ApiError, TooLarge, UnknownEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_FOR_NOTHING = 16 * 1024 * 1024
MOST_PER_BYTE = 200
"""Logs become ten times smaller, reports fifty times, and what expands to more than this is made to fill a disk."""

_PIECE = 256 * 1024
_SLICE = 8 * 1024
"""Fed at once. What is behind the end of a frame is copied, and a frame may have ten bytes."""
_GZIP = 31
_LARGEST_WINDOW = 23
"""8 MiB, which is what RFC 9659 allows here; the format itself would let a sender take gigabytes."""


class _Frame(Protocol):
    """One compressed stream; a body may be several, one after the other."""

    @property
    def is_over(self) -> bool: ...

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """At most a piece of what it says, and the bytes that are not taken yet."""
        ...


class _GzipFrame:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)

    @property
    def is_over(self) -> bool:
        return self._stream.eof

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        decoded = self._stream.decompress(data, _PIECE)
        # Zeros after a frame are padding.
        return decoded, self._stream.unused_data.lstrip(b"\0") if self.is_over else self._stream.unconsumed_tail


class _ZstdFrame:
    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW})

    @property
    def is_over(self) -> bool:
        return self._stream.eof

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        decoded = self._stream.decompress(data, _PIECE)
        return decoded, self._stream.unused_data if self.is_over else b""


_FRAMES: Mapping[str, Callable[[], _Frame]] = {"gzip": _GzipFrame, "x-gzip": _GzipFrame, "zstd": _ZstdFrame}


def encoding_of(headers: Mapping[str, str]) -> str | None:
    """How a body is compressed; None when it is not."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding not in _FRAMES:
        raise UnknownEncoding
    return encoding


async def decoded(chunks: AsyncIterator[bytes], encoding: str, take: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    """What was compressed, in pieces. Whoever takes each piece first, to hash it, does so in a thread."""
    decoder = _Decoder(encoding, take)
    async for chunk in chunks:
        pieces = decoder.pieces(chunk)
        while piece := (next(pieces, b"") if len(chunk) <= _SLICE else await asyncio.to_thread(next, pieces, b"")):
            yield piece
    decoder.require_end()


class _Decoder:
    def __init__(self, encoding: str, take: Callable[[bytes], None]) -> None:
        self._encoding = encoding
        self._take = take
        self._frame: _Frame | None = None
        self._received = 0
        self._decoded = 0

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        gathered = bytearray()
        for start in range(0, len(chunk), _SLICE):
            part = chunk[start : start + _SLICE]
            self._received += len(part)
            for decoded in self._decode(part):
                gathered += decoded
                if len(gathered) >= _PIECE:
                    yield self._taken(gathered)
        if gathered:
            yield self._taken(gathered)

    def _taken(self, gathered: bytearray) -> bytes:
        piece = bytes(gathered)
        gathered.clear()
        self._take(piece)
        return piece

    def require_end(self) -> None:
        """A body without a byte says that there is nothing, compressed or not."""
        if self._frame is not None:
            raise ApiError(f"the body ends before its {self._encoding} stream does; send it again")

    def _decode(self, rest: bytes) -> Iterator[bytes]:
        while rest or self._frame is not None:
            if self._frame is None:
                self._frame = _FRAMES[self._encoding]()
            try:
                decoded, rest = self._frame.decode(rest)
            except (zlib.error, zstd.ZstdError) as error:
                raise ApiError(
                    f"the body is no {self._encoding} that can be read here, as its header Content-Encoding says it is; "
                    "for zstd, the window is 8 MiB at most"
                ) from error
            if self._frame.is_over:
                self._frame = None
            elif not decoded and not rest:
                return
            self._decoded += len(decoded)
            if self._decoded > MOST_FOR_NOTHING + MOST_PER_BYTE * self._received:
                raise TooLarge(
                    f"the body expands to more than {MOST_PER_BYTE} times its size; send it without Content-Encoding"
                )
            yield decoded
