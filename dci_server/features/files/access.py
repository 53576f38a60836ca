# SPDX-License-Identifier: Apache-2.0
"""Who may see a file: those who may see its job (decision 3)."""

from uuid import UUID

from dci_server.features.files import queries
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Record
from dci_server.foundation.errors import NotAuthorized, NotFound


async def require_readable(db: Connection, caller: Identity, file_id: UUID) -> Record:
    file = await queries.find_file(db, file_id)
    if file is None:
        raise NotFound("file")
    if not (caller.reads_everything or caller.belongs_to(file["team_id"])):
        raise NotAuthorized
    return file
