# SPDX-License-Identifier: Apache-2.0
"""The SQL of events."""

from typing import LiteralString

from dci_server.features.events.model import EventsAnswer
from dci_server.foundation.database.connection import Connection, Json, fetch_value
from dci_server.foundation.database.sql import Condition, all_of

EVENT: LiteralString = """
    select events.id, events.created_at, events.type,
           json_build_object('kind', events.subject_kind, 'id', events.subject_id) as subject, events.team_id,
           events.topic_id, events.remoteci_id, events.job_id, events.actor_id, events.data
    from events
"""

WINDOW = 50_000
"""How many ids one page looks at: a filter that little meets is not a walk through the whole log."""

_PAGE: LiteralString = (
    """
with ends as (
    select coalesce((select min(id) from events), last_id + 1) as first_id, last_id from events_numbering
), looked_at as (
    select greatest(%(after)s::bigint, first_id - 1) as low,
           least(greatest(%(after)s::bigint, first_id - 1) + %(window)s::bigint, last_id) as high
    from ends
), page as (
    select json_agg(row_to_json(event) order by event.id) as items, count(*) as rows, max(event.id) as last_id from ("""
    + EVENT
    + "where events.id > (select low from looked_at) and events.id <= (select high from looked_at) and "
)
_PAGE_DONE: LiteralString = """
        order by events.id limit %(limit)s::integer) as event
)
select json_build_object('events', coalesce(page.items, '[]'::json), '_meta', json_build_object(
    'after', case when page.rows < %(limit)s::integer then greatest(high, %(after)s::bigint) else page.last_id end,
    'first', ends.first_id, 'last', ends.last_id))
from page, looked_at, ends
"""


async def list_events(
    db: Connection, after: int, limit: int, visible: Condition, filters: Condition
) -> Json[EventsAnswer]:
    """Those that follow `after`, oldest first. A page that is not full may be followed by others as long as its own
    `after` is below `last`.
    """
    where = all_of(visible, filters)
    return Json(
        await fetch_value(
            db, _PAGE + where.sql + _PAGE_DONE, after=after, limit=limit, window=WINDOW, **where.params
        )
    )  # fmt: skip
