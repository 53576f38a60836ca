# SPDX-License-Identifier: Apache-2.0
"""Packs are made and looked after beside the requests."""

from dci_server.features.packs import actions
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.storage import Store

_SECONDS_BETWEEN_PASSES = 60.0


def packer(db: Connection, store: Store, quiet_seconds: int) -> Repeating:
    """With 0 seconds nothing is packed; what was is looked after all the same."""

    async def look_after_packs() -> bool:
        if quiet_seconds and await actions.pack_next_job(db, store, quiet_seconds):
            return True
        await actions.tidy_packs(db, store)
        return False

    return Repeating("packs", look_after_packs, idle=_SECONDS_BETWEEN_PASSES)
