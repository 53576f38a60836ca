# SPDX-License-Identifier: Apache-2.0
"""What happens when a file arrives: hashed while it is written, visible when signature and row have been accepted."""

import hashlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from dci_server.features.files import queries
from dci_server.features.files.model import MAX_INLINE_BYTES, Announcement, File, store_key
from dci_server.features.jobs.access import changeable_by
from dci_server.foundation.content import ContentReader, Unreadable
from dci_server.foundation.database.connection import Json, Record, transaction
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound, TooLarge, Unavailable
from dci_server.foundation.http import Call
from dci_server.foundation.storage import Upload
from dci_server.foundation.storage.removal import give_up_object

_WORTH_COMPRESSING = 128


class InvalidContent(ApiError):
    """The file is kept, so that nothing is lost; it only can't be read as what it claims to be (decision 40)."""


@dataclass(slots=True)
class Received:
    """The bytes of an upload: in memory while they are few, under a temporary name in the store when they are not."""

    sha256: str
    size: int
    small: bytes = b""
    upload: Upload | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.upload is None:
            yield self.small
            return
        async for chunk in self.upload.read():
            yield chunk


async def receive_file(call: Call, announced: Announcement) -> Json[File]:
    received = await _receive(call, announced)
    try:
        reader = call.services.readers.get(announced.mime or "")
        if reader is None:
            return await _keep(call, announced, received, None, None)
        return await _keep_read(call, announced, received, reader)
    finally:
        if received.upload is not None:
            await received.upload.abort()


async def _keep_read(call: Call, announced: Announcement, received: Received, reader: ContentReader) -> Json[File]:
    try:
        findings = await reader.read(received.chunks())
    except Unreadable as error:
        changeable = changeable_by(call.caller)
        file_id = await queries.find_same_file(call.db, announced, received.sha256, changeable)
        if file_id is None:
            file_id = uuid4()
            await _keep(call, announced, received, None, None, file_id)
        raise InvalidContent(str(error), {"file_id": str(file_id)}) from error
    return await _keep(call, announced, received, reader, findings)


async def _receive(call: Call, announced: Announcement) -> Received:
    limit = call.services.max_upload_bytes
    too_large = TooLarge(f"the file is larger than {limit} bytes, the limit that is set here")
    if limit is not None and int(call.headers.get("content-length", "0")) > limit:
        raise too_large
    md5 = hashlib.md5(usedforsecurity=False) if announced.md5 else None
    buffer = bytearray()
    size = 0
    upload: Upload | None = None
    refusal: ApiError | None = None
    try:
        async for chunk in call.stream():
            size += len(chunk)
            if limit is not None and size > limit:
                raise too_large
            if md5 is not None:
                md5.update(chunk)
            if upload is None and refusal is None:
                buffer += chunk
                if len(buffer) > MAX_INLINE_BYTES:
                    refusal = await _refusal(call, announced)
                    if refusal is None:
                        upload = await call.services.store.begin()
                        await upload.write(bytes(buffer))
                    buffer.clear()
            elif upload is not None:
                await upload.write(chunk)
        if refusal is not None:
            raise refusal
        _require_md5(announced, md5.hexdigest() if md5 else None)
    except BaseException:
        if upload is not None:
            await upload.abort()
        raise
    return Received(call.sha256, size, bytes(buffer), upload)


async def _refusal(call: Call, announced: Announcement) -> ApiError | None:
    """Why a big upload need not be kept. A signature is not proven yet: its sender learns the reason at the end only."""
    facts = await queries.find_target(call.db, announced, changeable_by(call.caller))
    try:
        _require_target(facts)
    except ApiError as error:
        if call.authentication.is_certain:
            raise
        return error
    return None


def _require_md5(announced: Announcement, computed: str | None) -> None:
    if announced.md5 != computed:
        raise ApiError(f"DCI-MD5 says {announced.md5}, the bytes that arrived have {computed}; send the file again")


def _require_target(facts: Record) -> None:
    if facts["jobstate_is_missing"]:
        raise NotFound("jobstate")
    if not facts["is_known"]:
        raise NotFound("job")
    if not facts["is_changeable"]:
        raise NotAuthorized
    if not facts["jobstate_is_known"]:
        raise NotFound("jobstate")
    if not facts["jobstate_is_of_job"]:
        raise ApiError("the jobstate of DCI-JOBSTATE-ID belongs to another job than DCI-JOB-ID")


def _require_kept(facts: Record) -> None:
    _require_target(facts)
    if facts["file"] is None:
        raise Unavailable("the file took too long on its way to the store; send it again")


async def _keep(
    call: Call,
    announced: Announcement,
    received: Received,
    reader: ContentReader | None,
    findings: Any,
    file_id: UUID | None = None,
) -> Json[File]:
    """Makes the file visible: its bytes are durable before its row is."""
    file_id = file_id or uuid4()
    changeable = changeable_by(call.caller)
    key: str | None = None
    if received.upload is not None:
        facts = await queries.announce_file(call.db, announced, changeable, file_id)
        _require_target(facts)
        key = facts["key"]
    is_compressed, content = _packed(received)
    stored: dict[str, object] = {
        "file_id": file_id,
        "md5": announced.md5,
        "sha256": received.sha256,
        "size": received.size,
        "is_compressed": is_compressed,
        "bytes": content,
    }
    try:
        if received.upload is not None and key is not None:
            await received.upload.commit(key)
        if reader is None:
            facts = await queries.insert_file(call.db, announced, changeable, **stored)
            _require_kept(facts)
        else:
            async with transaction(call.db) as connection:
                facts = await queries.insert_file(connection, announced, changeable, **stored)
                _require_kept(facts)
                await reader.store(connection, file_id, findings)
    except ApiError:
        # Of any other error nobody knows whether the row is there: the announcement is, if the row is not.
        if key is not None:
            await give_up_object(call.db, key)
        raise
    return Json(facts["file"])


def _packed(received: Received) -> tuple[bool, bytes | None]:
    if received.upload is not None:
        return False, None
    if received.size >= _WORTH_COMPRESSING:
        smaller = zlib.compress(received.small, 1)
        if len(smaller) < received.size:
            return True, smaller
    return False, received.small


async def read_content(call: Call, file: Record, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """The bytes of a file, wherever they are. Raises NotFound when the store has lost them."""
    if file["bytes"] is not None:
        whole = zlib.decompress(file["bytes"]) if file["is_compressed"] else bytes(file["bytes"])
        return _once(whole[start:] if length is None else whole[start : start + length])
    return await call.services.store.read(store_key(file["team_id"], file["job_id"], file["id"]), start, length)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
