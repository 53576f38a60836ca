# SPDX-License-Identifier: Apache-2.0
"""Writes down who tried what."""

import asyncpg
import structlog

from dci_server.features.audits import queries
from dci_server.features.audits.model import Action
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection

log = structlog.get_logger("dci_server.audits")


async def audit(db: Connection, caller: Identity, action: Action) -> None:
    """Before anything is checked, so that refused attempts are there too. What can't be written stops nobody."""
    try:
        await queries.insert_audit(db, caller.id, action)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        log.error("an audit was not written", action=action, kind=type(error).__name__)
