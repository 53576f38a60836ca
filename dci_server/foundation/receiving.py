# SPDX-License-Identifier: Apache-2.0
"""The body of an upload as it arrives: hashed while it is written, and seen by nobody."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from dci_server.foundation.content import ContentReader, Reading
from dci_server.foundation.encodings import decoded, encoding_of
from dci_server.foundation.errors import ApiError, TooLarge
from dci_server.foundation.http import Call, header_text
from dci_server.foundation.storage import Upload
from dci_server.foundation.storage.store import MIB

HEADERS = {
    "DCI-MD5": "The MD5 of the file, as it is before any Content-Encoding: compared, and 400 when it differs.",
    "Content-Encoding": "`gzip` or `zstd` when the body is compressed: it is signed as it is sent, and kept as it was.",
}
"""Of an upload, for the documentation."""
REFUSALS = (415,)

_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_PIECE_TO_READ = 64 * 1024
"""Of what is read while it arrives: when the last byte is there, little is left to be read."""


def announced_md5(headers: Mapping[str, str]) -> str | None:
    # quirk: the prefix is optional, as existing servers have it.
    md5 = header_text(headers.get("dci-md5", headers.get("md5", "")))
    if md5 and not _MD5.fullmatch(md5):
        raise ApiError("HTTP header DCI-MD5 must be 32 hexadecimal digits")
    return md5.lower() or None


def require_md5(announced: str | None, computed: str | None) -> None:
    if announced is not None and announced != computed:
        raise ApiError(f"DCI-MD5 says {announced}, the bytes that arrived have {computed}; send the file again")


@dataclass(slots=True)
class Received:
    """The bytes of an upload: in memory while they are few, under a temporary name in the store when they are not."""

    sha256: str
    md5: str | None
    size: int
    small: bytes = b""
    upload: Upload | None = None
    reading: Reading | None = None

    async def write(self, chunk: bytes) -> None:
        """What does not stay in memory."""
        assert self.upload is not None
        await self.upload.write(chunk)
        if self.reading is not None:
            await self.reading.take(chunk)

    async def chunks(self, start: int = 0) -> AsyncIterator[bytes]:
        if self.upload is None:
            yield self.small[start:]
            return
        async for chunk in self.upload.read(start):
            yield chunk

    async def abort(self) -> None:
        """Nothing is left of what was not published."""
        try:
            if self.reading is not None:
                await self.reading.close()
        finally:
            if self.upload is not None:
                await self.upload.abort()


async def receive(
    call: Call,
    require_welcome: Callable[[], Awaitable[None]],
    *,
    in_memory: int,
    with_md5: bool = False,
    at_most: int | None = None,
    reader: ContentReader | None = None,
) -> Received:
    """At most `in_memory` bytes stay in memory. Before more are kept, `require_welcome` says whether they may be.

    What is compressed on its way (`Content-Encoding`) is signed as it is sent, and kept, hashed and counted as it was. What
    does not stay in memory is given to the `reader` while it arrives.
    """
    encoding = encoding_of(call.headers)
    limit = min((bound for bound in (call.services.max_upload_bytes, at_most) if bound is not None), default=None)
    too_large = TooLarge(f"the file is larger than {limit} bytes, the limit that is set here")
    if limit is not None and int(call.headers.get("content-length", "0")) > limit:
        raise too_large
    md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None
    buffer = bytearray()
    received = Received("", None, 0)
    refusal: ApiError | None = None
    sha256 = hashlib.sha256()
    sent = call.stream(MIB if reader is None else _PIECE_TO_READ)
    chunks = sent if encoding is None else decoded(sent, encoding, sha256.update)
    try:
        async for chunk in chunks:
            received.size += len(chunk)
            if limit is not None and received.size > limit:
                raise too_large
            if md5 is not None:
                md5.update(chunk)
            if received.upload is not None:
                await received.write(chunk)
            elif refusal is None:
                buffer += chunk
                if len(buffer) > in_memory:
                    refusal = await _refusal(call, require_welcome)
                    if refusal is None:
                        await _begin(call, received, reader)
                        await received.write(bytes(buffer))
                    buffer.clear()
        if refusal is not None:
            raise refusal
    except BaseException:
        await received.abort()
        raise
    received.sha256 = call.sha256 if encoding is None else sha256.hexdigest()
    received.md5 = md5.hexdigest() if md5 else None
    received.small = bytes(buffer)
    return received


async def _begin(call: Call, received: Received, reader: ContentReader | None) -> None:
    store = call.services.store
    received.upload = await store.begin()
    if reader is not None:
        received.reading = reader.begin(store, is_proven=call.authentication.is_certain)


async def _refusal(call: Call, require_welcome: Callable[[], Awaitable[None]]) -> ApiError | None:
    """A signature is not proven yet: its sender learns the reason at the end only."""
    try:
        await require_welcome()
    except ApiError as error:
        if call.authentication.is_certain:
            raise
        return error
    return None
