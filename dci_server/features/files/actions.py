# SPDX-License-Identifier: Apache-2.0
"""What happens when a file arrives: it is visible when signature and row have been accepted."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from dci_server.features.files import queries
from dci_server.features.files.model import MAX_INLINE_BYTES, MAX_REPLACED_BYTES, Announcement, File, packed, store_key
from dci_server.features.jobs.access import changeable_by
from dci_server.features.packs.actions import read_packed
from dci_server.foundation.auth.rules import WORKERS_OF_TEAM
from dci_server.foundation.content import ContentReader, Destination, Unreadable
from dci_server.foundation.database.connection import Connection, Json, Record, transaction
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.downloads import attachment
from dci_server.foundation.errors import ApiError, Gone, NotAuthorized, NotFound, TooLarge, Unavailable
from dci_server.foundation.http import Call, Services
from dci_server.foundation.identifiers import new_id
from dci_server.foundation.receiving import Received, announced_md5, receive, require_md5
from dci_server.foundation.storage.removal import give_up_object


class InvalidContent(ApiError):
    """The file is kept, so that nothing is lost; it only can't be read as what it claims to be (decision 40)."""


Claim = Callable[[Connection, UUID], Awaitable[None]]
"""What else is written in the transaction that makes a file visible; it may refuse."""


async def receive_file(call: Call, announced: Announcement) -> Json[File]:
    changeable = changeable_by(call.caller)

    async def require_welcome() -> None:
        await require_target(call.db, announced, changeable)

    reader = call.services.readers.get(announced.mime or "")
    received = await receive(
        call, require_welcome, in_memory=MAX_INLINE_BYTES, with_md5=announced.md5 is not None, reader=reader
    )
    try:
        return await keep_file(call.services, changeable, announced, received)
    finally:
        await received.abort()


async def require_target(db: Connection, announced: Announcement, changeable: Condition) -> None:
    """Raises what speaks against the upload."""
    _require_target(await queries.find_target(db, announced, changeable))


async def keep_file(
    services: Services,
    changeable: Condition,
    announced: Announcement,
    received: Received,
    claim: Claim | None = None,
) -> Json[File]:
    """Makes what arrived a file: compared with its MD5, read when its kind is, then visible."""
    require_md5(announced.md5, received.md5)
    keeping = _Keeping(services, changeable, announced, received, claim)
    reader = services.readers.get(announced.mime or "")
    if reader is None:
        return await _keep(keeping, new_id())
    return await _keep_read(keeping, reader)


@dataclass(frozen=True, slots=True)
class _Keeping:
    services: Services
    changeable: Condition
    announced: Announcement
    received: Received
    claim: Claim | None


async def _keep_read(keeping: _Keeping, reader: ContentReader) -> Json[File]:
    received, db = keeping.received, keeping.services.db
    if received.reading is None:
        received.reading = reader.begin(keeping.services.store, is_proven=True)
    try:
        findings = await received.reading.finish(db, _destination(keeping), received.chunks)
    except Unreadable as error:
        file_id = await queries.find_same_file(db, keeping.announced, received.sha256, keeping.changeable)
        if file_id is None:
            file_id = new_id()
            await _keep(keeping, file_id)
        elif keeping.claim is not None:
            await keeping.claim(db, file_id)
        raise InvalidContent(str(error), {"file_id": str(file_id)}) from error

    async def store(connection: Connection, file_id: UUID) -> None:
        await reader.store(connection, file_id, findings)

    try:
        return await _keep(keeping, new_id(), store)
    except Exception:
        await reader.give_up(db, findings)
        raise


def _destination(keeping: _Keeping) -> Destination:
    announced = keeping.announced
    return Destination(announced.name, announced.job_id, announced.jobstate_id, keeping.changeable)


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


async def _keep(keeping: _Keeping, file_id: UUID, store: Claim | None = None) -> Json[File]:
    """Makes the file visible: its bytes are durable before its row is."""
    db, announced, received = keeping.services.db, keeping.announced, keeping.received
    key: str | None = None
    if received.upload is not None:
        facts = await queries.announce_file(db, announced, keeping.changeable, file_id)
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
    also = [claim for claim in (store, keeping.claim) if claim is not None]
    try:
        if received.upload is not None and key is not None:
            await received.upload.commit(key, attachment(announced.name))
        if not also:
            facts = await queries.insert_file(db, announced, keeping.changeable, **stored)
            _require_kept(facts)
        else:
            async with transaction(db) as connection:
                facts = await queries.insert_file(connection, announced, keeping.changeable, **stored)
                _require_kept(facts)
                for claim in also:
                    await claim(connection, file_id)
    except ApiError:
        # Of any other error nobody knows whether the row is there: the announcement is, if the row is not.
        if key is not None:
            await give_up_object(db, key)
        raise
    return Json(facts["file"])


def _packed(received: Received) -> tuple[bool, bytes | None]:
    return (False, None) if received.upload is not None else packed(received.small)


async def replace_content(call: Call, file_id: UUID, etag: str) -> Json[File]:
    """Nothing but what its reader lets be changed; the file stays as it was in every other case."""
    db, changeable = call.db, changeable_by(call.caller)
    md5 = announced_md5(call.headers)
    # Whoever signs is not known before the last byte, and is told nothing of the file until then.
    received = await receive(call, _later, in_memory=MAX_REPLACED_BYTES, with_md5=True, at_most=MAX_REPLACED_BYTES)
    file = await queries.find_file(db, file_id)
    if file is None or file["job_is_archived"]:
        raise NotFound("file")
    WORKERS_OF_TEAM.require_for_team(call.caller, file["team_id"])
    require_md5(md5, received.md5)
    reader = call.services.readers.get(file["mime"] or "")
    said = call.headers.get("content-type", "").partition(";")[0].strip()
    if reader is None or said != file["mime"]:
        raise ApiError("only a file of application/junit takes new content, of the same type")
    if file["size"] > MAX_REPLACED_BYTES:
        raise TooLarge(f"only a file of at most {MAX_REPLACED_BYTES} bytes takes new content; send a new file")
    require_content(file)
    destination = Destination(file["name"], file["job_id"], None, changeable, file["created_at"])
    received.reading = reader.begin(call.services.store, is_proven=True)
    try:
        findings = await received.reading.finish(db, destination, received.chunks)
        old = b"".join([piece async for piece in await read_content(call, file)])
        is_same = await reader.outline(old) == await reader.outline(received.small)
    except Unreadable as error:
        raise ApiError(str(error)) from error
    finally:
        await received.abort()
    try:
        if not is_same:
            raise ApiError("only the properties of test cases may be changed; send anything else as a new file")
        is_compressed, content = await asyncio.to_thread(packed, received.small)
        async with transaction(db) as connection:
            changed = await queries.replace_content(
                connection, file_id, etag, changeable,
                size=received.size, md5=received.md5, sha256=received.sha256, is_compressed=is_compressed, bytes=content,
            )  # fmt: skip
            if changed is None:
                raise NotFound("file")
            await queries.leave_pack(connection, file_id)
            await reader.replace(connection, file_id, findings)
    except Exception:
        await reader.give_up(db, findings)
        raise
    return changed


async def _later() -> None:
    """What arrives is in memory: nothing is kept of it before everything has been looked at."""


def require_content(file: Record) -> None:
    removed_at = file["content_removed_at"]
    if removed_at is not None:
        raise Gone(
            f"the content of this file was removed on {removed_at:%Y-%m-%d}, because it was kept for long enough"
        )


async def read_content(call: Call, file: Record, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """The bytes of a file, wherever they are. Raises Gone when a rule has removed them, NotFound when the store has lost them."""
    require_content(file)
    if file["bytes"] is not None:
        whole = await content_of_row(file)
        return _once(whole[start:] if length is None else whole[start : start + length])
    if file["pack_key"] is not None:
        whole = await read_packed(call.services.store, file)
        return _once(whole[start:] if length is None else whole[start : start + length])
    return await call.services.store.read(store_key(file["team_id"], file["job_id"], file["id"]), start, length)


async def content_of_row(file: Record) -> bytes:
    """Of a file whose bytes are in its row."""
    if not file["is_compressed"]:
        return bytes(file["bytes"])
    if file["size"] <= MAX_INLINE_BYTES:
        return zlib.decompress(file["bytes"])
    return await asyncio.to_thread(zlib.decompress, file["bytes"])


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
