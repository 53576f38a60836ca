# SPDX-License-Identifier: Apache-2.0
"""What must hold before a topic is used, and what happens when it changes."""

from typing import Any
from uuid import UUID

from dci_server.features.topics import access, queries
from dci_server.features.topics.model import ChangedTopic
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, refusing_duplicates, transaction
from dci_server.foundation.database.sql import EVERYTHING
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound
from dci_server.foundation.events.actor import by


async def require_usable(db: Connection, caller: Identity, topic_id: UUID) -> None:
    """404 for no such topic, or one whose product is archived; 401 for those who may not use it."""
    facts = await queries.find_state(db, topic_id, access.usable_by(caller))
    if facts is None:
        raise NotFound("topic")
    if facts["is_usable"]:
        return
    if facts["product_is_archived"]:
        raise NotFound("product")
    raise NotAuthorized


async def change_topic(db: Connection, caller: Identity, topic_id: UUID, etag: str, changes: ChangedTopic) -> Json[Any]:
    with refusing_duplicates("update"):
        async with transaction(db) as connection:
            # Each of these needs a look at other rows that nobody else changes meanwhile.
            if isinstance(changes.next_topic_id, str):
                await queries.wait_for_other_links(connection)
            if changes.state == "archived":
                await queries.wait_for_new_components(connection, topic_id)
            change = await queries.update_topic(connection, topic_id, etag, changes, by(caller, EVERYTHING))
    cycle = ApiError("next_topic_id leads back to this topic: choose one that does not")
    return change.require("topic", impossible=cycle)


async def require_current(db: Connection, topic_id: UUID, etag: str) -> None:
    """404 for an unknown topic and for a stale etag alike."""
    if not await queries.is_current(db, topic_id, etag):
        raise NotFound("topic")
