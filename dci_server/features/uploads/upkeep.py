# SPDX-License-Identifier: Apache-2.0
"""Uploads whose clients went away: whole ones become files, others expire and give their bytes back."""

from dataclasses import replace

import structlog

from dci_server.features.uploads import actions, queries
from dci_server.foundation.background import Repeating
from dci_server.foundation.errors import ApiError
from dci_server.foundation.http import Services

_SECONDS_BETWEEN_PASSES = 60.0

log = structlog.get_logger("dci_server.uploads")


async def look_after_uploads(services: Services) -> None:
    """Expired ones go; whole ones that nobody finishes are finished."""
    await queries.delete_expired(services.db)
    for upload_id in await queries.list_unfinished(services.db):
        try:
            file_id = await actions.finish(services, upload_id)
        except ApiError as error:
            log.info("upload did not become a file", upload_id=str(upload_id), reason=error.message)
        else:
            log.info("upload became a file", upload_id=str(upload_id), file_id=str(file_id))


def upload_keeper(services: Services) -> Repeating:
    remembered = replace(services)

    async def look_after_all() -> bool:
        await look_after_uploads(remembered)
        return False

    return Repeating("uploads", look_after_all, idle=_SECONDS_BETWEEN_PASSES)
