# SPDX-License-Identifier: Apache-2.0
"""Who may see a file: those who may see its job (decision 3)."""

from uuid import UUID

from dci_server.features.files import queries
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import READERS_OF_TEAM, WORKERS_OF_TEAM
from dci_server.foundation.database.connection import Connection, Record
from dci_server.foundation.errors import NotFound

READ = READERS_OF_TEAM
UPLOAD = WORKERS_OF_TEAM
DELETE = WORKERS_OF_TEAM


async def require_readable(db: Connection, caller: Identity, file_id: UUID) -> Record:
    file = await queries.find_file(db, file_id)
    if file is None:
        raise NotFound("file")
    READ.require_for_team(caller, file["team_id"])
    return file
