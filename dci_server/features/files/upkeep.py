# SPDX-License-Identifier: Apache-2.0
"""Rules of retention are followed beside the requests."""

from time import monotonic

import structlog

from dci_server.features.files.retention import remove_expired
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection

_SECONDS_BETWEEN_LOOKS = 60.0
_SECONDS_BETWEEN_RETENTIONS = 6 * 3600.0

log = structlog.get_logger("dci_server.upkeep")


def content_keeper(db: Connection) -> Repeating:
    # A server that starts has better things to do.
    next_retention = monotonic() + _SECONDS_BETWEEN_LOOKS

    async def look_after_contents() -> bool:
        nonlocal next_retention
        if monotonic() >= next_retention:
            removed = await remove_expired(db)
            if removed.files:
                log.info("files were kept for long enough", jobs=removed.jobs, files=removed.files, bytes=removed.bytes)
            next_retention = monotonic() + _SECONDS_BETWEEN_RETENTIONS
        return False

    return Repeating("retention of files", look_after_contents, idle=_SECONDS_BETWEEN_LOOKS)
