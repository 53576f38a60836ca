# SPDX-License-Identifier: Apache-2.0
"""What happens when a component gets a file or loses one."""

from uuid import UUID

from dci_server.features.component_files import queries
from dci_server.features.component_files.model import media_type, uploaded_key
from dci_server.features.components.access import changeable_by
from dci_server.features.components.model import ComponentFile
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, Record
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound, Unavailable
from dci_server.foundation.http import Call
from dci_server.foundation.identifiers import new_id
from dci_server.foundation.receiving import Received, announced_md5, receive, require_md5
from dci_server.foundation.storage import Upload
from dci_server.foundation.storage.removal import announce_object, give_up_object

_IN_MEMORY = 64 * 1024


async def receive_file(call: Call, component_id: UUID) -> Json[ComponentFile]:
    async def require_welcome() -> None:
        await _require_target(call, component_id)

    if call.authentication.is_certain:
        await require_welcome()
    md5 = announced_md5(call.headers)
    received = await receive(call, require_welcome, in_memory=_IN_MEMORY, with_md5=md5 is not None)
    try:
        target = await _require_target(call, component_id)
        require_md5(md5, received.md5)
        received.upload = await _in_store(call, received)
        return await _keep(call, component_id, target["topic_id"], received, received.upload)
    finally:
        await received.abort()


async def _in_store(call: Call, received: Received) -> Upload:
    """Small ones too: a component's file has no other place."""
    if received.upload is not None:
        return received.upload
    upload = await call.services.store.begin()
    await upload.write(received.small)
    return upload


async def _keep(
    call: Call, component_id: UUID, topic_id: UUID, received: Received, upload: Upload
) -> Json[ComponentFile]:
    """Makes the file visible: its bytes are durable before its row is."""
    file_id = new_id()
    key = uploaded_key(topic_id, component_id, file_id)
    await announce_object(call.db, key)
    try:
        await upload.commit(key)
        facts = await queries.insert_file(
            call.db,
            component_id,
            changeable_by(call.caller),
            file_id=file_id,
            mime=media_type(call.headers.get("content-type", "")),
            md5=received.md5,
            sha256=received.sha256,
            size=received.size,
            key=key,
        )
        _require_changeable(facts)
        if facts["file"] is None:
            raise Unavailable("the file took too long on its way to the store; send it again")
    except ApiError:
        # Of any other error nobody knows whether the row is there: the announcement is, if the row is not.
        await give_up_object(call.db, key)
        raise
    return Json(facts["file"])


async def delete_file(db: Connection, caller: Identity, component_id: UUID, file_id: UUID, etag: str) -> None:
    facts = await queries.archive_file(db, component_id, file_id, etag, changeable_by(caller))
    _require_changeable(facts)
    if not facts["is_archived"]:
        raise NotFound("component_file")


async def _require_target(call: Call, component_id: UUID) -> Record:
    facts = await queries.find_target(call.db, component_id, changeable_by(call.caller))
    _require_changeable(facts)
    return facts


def _require_changeable(facts: Record) -> None:
    if not facts["is_known"]:
        raise NotFound("component")
    if not facts["is_changeable"]:
        raise NotAuthorized
