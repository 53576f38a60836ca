# SPDX-License-Identifier: Apache-2.0
"""Who may open, continue and end an upload: those who may upload files to its job."""

from uuid import UUID

from dci_server.features.files import access as files
from dci_server.features.uploads import queries
from dci_server.features.uploads.model import Upload
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.errors import NotFound

USE = files.UPLOAD


async def require_usable(db: Connection, caller: Identity, upload_id: UUID) -> Upload:
    upload = await queries.find_upload(db, upload_id)
    if upload is None:
        raise NotFound("upload")
    USE.require_for_team(caller, upload.team_id)
    return upload
