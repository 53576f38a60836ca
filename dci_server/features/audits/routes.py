# SPDX-License-Identifier: Apache-2.0
"""The URL of audits."""

from dci_server.features.audits import queries
from dci_server.features.audits.model import AuditsAnswer
from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.http import Call, Response, get, page


async def list_audits(call: Call) -> Response:
    """Who changed or tried to change what, and whoever was refused; newest first."""
    listing = call.listing(queries.COLUMNS)
    SUPER_ADMINS.require(call.caller)
    await call.services.audits.flush_all()
    return page(await queries.list_audits(call.db, listing))


routes = [get("/audits", list_audits, AuditsAnswer, who=SUPER_ADMINS, listing=queries.COLUMNS)]
