# SPDX-License-Identifier: Apache-2.0
"""What happens when a file arrives: it is visible when signature and row have been accepted."""

import zlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

from dci_server.features.files import queries
from dci_server.features.files.model import MAX_INLINE_BYTES, Announcement, File, packed, store_key
from dci_server.features.jobs.access import changeable_by
from dci_server.foundation.content import ContentReader, Unreadable
from dci_server.foundation.database.connection import Json, Record, transaction
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound, Unavailable
from dci_server.foundation.http import Call
from dci_server.foundation.receiving import Received, receive
from dci_server.foundation.storage.removal import give_up_object


class InvalidContent(ApiError):
    """The file is kept, so that nothing is lost; it only can't be read as what it claims to be (decision 40)."""


async def receive_file(call: Call, announced: Announcement) -> Json[File]:
    async def require_welcome() -> None:
        _require_target(await queries.find_target(call.db, announced, changeable_by(call.caller)))

    received = await receive(call, require_welcome, in_memory=MAX_INLINE_BYTES, with_md5=announced.md5 is not None)
    try:
        _require_md5(announced, received.md5)
        reader = call.services.readers.get(announced.mime or "")
        if reader is None:
            return await _keep(call, announced, received, None, None)
        return await _keep_read(call, announced, received, reader)
    finally:
        await received.abort()


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
    return (False, None) if received.upload is not None else packed(received.small)


async def read_content(call: Call, file: Record, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """The bytes of a file, wherever they are. Raises NotFound when the store has lost them."""
    if file["bytes"] is not None:
        whole = zlib.decompress(file["bytes"]) if file["is_compressed"] else bytes(file["bytes"])
        return _once(whole[start:] if length is None else whole[start : start + length])
    return await call.services.store.read(store_key(file["team_id"], file["job_id"], file["id"]), start, length)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
