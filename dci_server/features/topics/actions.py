# SPDX-License-Identifier: Apache-2.0
"""What must hold before a topic is used."""

from uuid import UUID

from dci_server.features.topics import access, queries
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.errors import NotAuthorized, NotFound


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
