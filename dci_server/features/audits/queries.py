# SPDX-License-Identifier: Apache-2.0
"""The SQL of audits."""

from uuid import UUID

from dci_server.features.audits.model import Action, Audit
from dci_server.foundation.database.connection import Connection, Json, execute, fetch_page
from dci_server.foundation.database.sql import EVERYTHING
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "action": Column("audits.action", "text"),
    "created_at": Column("audits.created_at", "timestamp"),
    "id": Column("audits.id", "uuid"),
    "user_id": Column("audits.user_id", "uuid"),
}


async def insert_audit(db: Connection, user_id: UUID, action: Action) -> None:
    await execute(
        db,
        "insert into audits (user_id, action) values (%(user_id)s::uuid, %(action)s::text)",
        user_id=user_id,
        action=action,
    )


async def list_audits(db: Connection, listing: Listing) -> Json[list[Audit]]:
    select = "select audits.id, audits.created_at, audits.user_id, audits.action"
    return await fetch_page(db, Audit, "audits", select, "audits", EVERYTHING, listing)
