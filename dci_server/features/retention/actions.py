# SPDX-License-Identifier: Apache-2.0
"""Rules are made and removed by whoever runs the server."""

from dci_server.features.retention import queries
from dci_server.features.retention.model import Rule, What
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.errors import NotFound


async def set_rule(db: Connection, rule: Rule) -> None:
    if not await queries.save_rule(db, rule):
        raise NotFound("topic or team")


async def remove_rule(db: Connection, what: What, topic: str | None, team: str | None) -> None:
    if not await queries.delete_rule(db, what, topic, team):
        raise NotFound("rule")
