# SPDX-License-Identifier: Apache-2.0
"""The URLs of events."""

from dci_server.features.events import access, queries
from dci_server.features.events.filters import AFTER, OF_A_PAGE, read_filters, read_limit, require_known
from dci_server.features.events.model import EventsAnswer
from dci_server.foundation.http import Call, Response, get, page


async def list_events(call: Call) -> Response:
    """What happened after an event, oldest first: `_meta.after` is where to go on, until it is `_meta.last`."""
    require_known(call.parameters, OF_A_PAGE)
    filters, limit = read_filters(call.parameters), read_limit(call.parameters)
    after = AFTER.read_number(call.parameters) or 0
    # Who asks after a write of its own finds what that caused.
    await call.services.events.number_all()
    visible = access.visible_to(call.caller)
    return page(await queries.list_events(call.db, after, limit, visible, filters.condition))


routes = [get("/events", list_events, EventsAnswer, who=access.LIST, query=OF_A_PAGE)]
