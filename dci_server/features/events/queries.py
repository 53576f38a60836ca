# SPDX-License-Identifier: Apache-2.0
"""The SQL of events."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from dci_server.features.events.model import EventsAnswer
from dci_server.features.topics.access import usable_by
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, fetch_row, fetch_rows, fetch_value
from dci_server.foundation.database.sql import Condition, all_of
from dci_server.foundation.events.feed import LiveEvent

EVENT: LiteralString = """
    select events.id, events.created_at, events.type,
           json_build_object('kind', events.subject_kind, 'id', events.subject_id) as subject, events.team_id,
           events.topic_id, events.remoteci_id, events.job_id, events.actor_id, events.data
    from events
"""

WINDOW = 50_000
"""How many ids one page looks at: a filter that little meets is not a walk through the whole log."""
_NO_WINDOW = 10**18

_LOOKED_AT: LiteralString = """
with ends as (
    select coalesce((select min(id) from events), last_id + 1) as first_id, last_id from events_numbering
), looked_at as (
    select greatest(%(after)s::bigint, first_id - 1) as low,
           least(greatest(%(after)s::bigint, first_id - 1) + %(window)s::bigint, last_id) as high
    from ends
)
"""
_IN_THERE: LiteralString = (
    " where events.id > (select low from looked_at) and events.id <= (select high from looked_at) and "
)
_PAGE: LiteralString = (
    _LOOKED_AT
    + """, page as (
    select json_agg(row_to_json(event) order by event.id) as items, count(*) as rows, max(event.id) as last_id from ("""
    + EVENT
    + _IN_THERE
)
_PAGE_DONE: LiteralString = """
        order by events.id limit %(limit)s::integer) as event
)
select json_build_object('events', coalesce(page.items, '[]'::json), '_meta', json_build_object(
    'after', case when page.rows < %(limit)s::integer then greatest(high, %(after)s::bigint) else page.last_id end,
    'first', ends.first_id, 'last', ends.last_id))
from page, looked_at, ends
"""


def _window(visible: Condition, filters: Condition) -> tuple[Condition, dict[str, object]]:
    """Events of one job have an index of their own."""
    of_job = "of_job_id" in filters.params
    return all_of(visible, filters), {"window": _NO_WINDOW if of_job else WINDOW}


async def list_events(
    db: Connection, after: int, limit: int, visible: Condition, filters: Condition
) -> Json[EventsAnswer]:
    """Those that follow `after`, oldest first. More may follow a page as long as its own `after` is below `last`."""
    where, window = _window(visible, filters)
    return Json(
        await fetch_value(
            db, _PAGE + where.sql + _PAGE_DONE, after=after, limit=limit, **window, **where.params
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Missed:
    """A part of what a follower missed; `first` is the oldest event that is kept."""

    text: bytes
    after: int
    first: int


_MISSED_DONE: LiteralString = """
        order by events.id limit %(limit)s::integer) as event
)
select page.texts, case when page.rows < %(limit)s::integer then greatest(high, %(after)s::bigint) else page.last_id end
    as after, ends.first_id
from page, looked_at, ends
"""


async def read_missed(db: Connection, after: int, limit: int, visible: Condition, filters: Condition) -> Missed:
    where, window = _window(visible, filters)
    row = await fetch_row(
        db, _MISSED + where.sql + _MISSED_DONE, after=after, limit=limit, **window, **where.params
    )  # fmt: skip
    assert row is not None
    return Missed((row["texts"] or "").encode(), row["after"], row["first_id"])


_TEXT: LiteralString = (
    "'id: ' || event.id || e'\\nevent: ' || event.type || e'\\ndata: ' || row_to_json(event) || e'\\n\\n'"
)
_MISSED: LiteralString = (
    _LOOKED_AT
    + ", page as (select string_agg("
    + _TEXT
    + ", '' order by event.id) as texts, count(*) as rows, max(event.id) as last_id from ("
    + EVENT
    + _IN_THERE
)


async def find_last(db: Connection) -> int:
    """The newest id that was given."""
    return await fetch_value(db, "select last_id from events_numbering")


async def find_end_of_job(db: Connection, job_id: UUID) -> int | None:
    """The last event of a job that is over, 0 when none is kept; None while more will follow."""
    return await fetch_value(
        db,
        """select coalesce((select max(id) from events where job_id = jobs.id), 0) from jobs
           where id = %(job_id)s::uuid
                 and (status in ('success', 'failure', 'error', 'killed') or state = 'archived')
                 and not exists (select from events_outbox where job_id = jobs.id)""",
        job_id=job_id,
    )


class EventTable:
    """What the live stream reads."""

    async def read(self, db: Connection, after: int, since: datetime, most: int) -> list[LiveEvent]:
        rows = await fetch_rows(
            db,
            "select found.*, "
            + _TEXT
            + """ as text from (
                select id, numbered_at, type, team_id, topic_id, remoteci_id, job_id,
                       type in ('job_finished', 'job_archived')
                       or (type = 'job_state_changed' and data ->> 'status' = 'killed') as is_final
                from events where id > %(after)s::bigint and numbered_at >= %(since)s::timestamp
                order by id limit %(most)s::integer
            ) as found cross join lateral ("""
            + EVENT
            + " where events.id = found.id and events.numbered_at = found.numbered_at) as event order by found.id",
            after=after,
            since=since,
            most=most,
        )
        return [LiveEvent(**{**row, "text": row["text"].encode()}) for row in map(dict, rows)]

    async def usable_topics(self, db: Connection, caller: Identity, topic_ids: Collection[UUID]) -> set[UUID]:
        usable = usable_by(caller)
        rows = await fetch_rows(
            db,
            "select id from topics where id = any(%(topic_ids)s::uuid[]) and (" + usable.sql + ")",
            topic_ids=list(topic_ids),
            **usable.params,
        )
        return {row["id"] for row in rows}
