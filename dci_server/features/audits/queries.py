# SPDX-License-Identifier: Apache-2.0
"""The SQL of audits."""

from typing import LiteralString

from dci_server.features.audits.model import Audit
from dci_server.foundation.database.connection import Connection, Json, fetch_page
from dci_server.foundation.database.sql import EVERYTHING
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

_TEXTS: dict[str, LiteralString] = {
    "action": "audits.action",
    "address": "audits.address",
    "kind": "audits.kind",
    "method": "audits.method",
    "path": "audits.path",
}
COLUMNS: Columns = {
    **{name: Column(sql, "text") for name, sql in _TEXTS.items()},
    "created_at": Column("audits.created_at", "timestamp"),
    "claimed_id": Column("audits.claimed_id", "uuid"),
    "id": Column("audits.id", "uuid"),
    "status": Column("audits.status", "integer"),
    "subject_id": Column("audits.subject_id", "uuid"),
    "user_id": Column("audits.user_id", "uuid"),
}
_AUDIT: LiteralString = (
    "select audits.id, audits.created_at, audits.user_id, audits.action, audits.kind, audits.method, audits.path, "
    "audits.status, audits.address, audits.subject_id, audits.claimed_id"
)


async def list_audits(db: Connection, listing: Listing) -> Json[list[Audit]]:
    return await fetch_page(db, Audit, "audits", _AUDIT, "audits", EVERYTHING, listing)
