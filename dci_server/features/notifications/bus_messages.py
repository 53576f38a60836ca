# SPDX-License-Identifier: Apache-2.0
"""The SQL of the message bus: what is due, taken by one process at a time, what it says, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from dci_server.features.jobs.queries import FILE_COLUMNS, JOB_IN_LIST
from dci_server.features.products.queries import PRODUCT_COLUMNS
from dci_server.foundation.database.connection import Connection, execute, fetch_rows, fetch_value

_MOST_FILES: LiteralString = "1000"
"""Of a job in a message; brokers are no place for megabytes."""

_JOB: LiteralString = (
    """
    with some_files as materialized (
        select """
    + FILE_COLUMNS
    + """ from files where job_id = %(job_id)s::uuid and state <> 'archived' order by created_at, id
        limit """
    + _MOST_FILES
    + """
    ), job as ("""
    + JOB_IN_LIST
    + """,
        (select row_to_json(p) from (
            select """
    + PRODUCT_COLUMNS
    + """ from products
            where products.id = jobs.product_id) as p) as product,
        (select coalesce(json_agg(row_to_json(s)), '[]'::json) from (
            select id, created_at, status, comment, job_id,
                   (select coalesce(json_agg(row_to_json(f)), '[]'::json) from some_files as f
                    where f.jobstate_id = jobstates.id) as files
            from jobstates where jobstates.job_id = jobs.id order by created_at, id limit """
    + _MOST_FILES
    + """) as s) as jobstates,
        (select coalesce(json_agg(row_to_json(f)), '[]'::json) from some_files as f where f.jobstate_id is null) as files
        from jobs where jobs.id = %(job_id)s::uuid)
    select json_build_object('event', %(kind)s::text, 'job', row_to_json(job))::text from job
"""
)


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message in hands."""

    event_id: int
    kind: str
    happened_at: datetime
    job_id: UUID
    attempts: int


async def take_due(db: Connection, *, most: int, lease: float) -> list[DueMessage]:
    """Of each job one, the first that waits."""
    rows = await fetch_rows(
        db,
        """update bus_messages set attempts = attempts + 1,
                                   next_attempt_at = utc_now() + %(lease)s::float8 * interval '1 second'
           where id in (
               select id from bus_messages as message
               where state = 'waiting' and next_attempt_at <= utc_now()
                     and not exists (select from bus_messages as earlier
                                     where earlier.job_id = message.job_id and earlier.state = 'waiting'
                                           and earlier.event_id < message.event_id)
               order by next_attempt_at limit %(most)s::integer for update skip locked)
           returning event_id, kind, happened_at, job_id, attempts""",
        most=most,
        lease=lease,
    )
    return [DueMessage(**dict(row)) for row in rows]


async def write_body(db: Connection, due: DueMessage) -> str | None:
    """The job as it is now; None when it was purged."""
    return await fetch_value(db, _JOB, job_id=due.job_id, kind=due.kind)


async def note_sent(db: Connection, event_ids: Sequence[int]) -> None:
    await execute(
        db,
        "update bus_messages set state = 'sent', error = null "
        "where event_id = any(%(event_ids)s::bigint[]) and state = 'waiting'",
        event_ids=list(event_ids),
    )


async def note_failure(db: Connection, due: DueMessage, reason: str, *, delay: float, is_final: bool = False) -> None:
    """Due again after `delay` seconds; given up when it is final, or a week old."""
    await execute(
        db,
        """update bus_messages
           set state = case when %(is_final)s::boolean
                                 or utc_now() + %(delay)s::float8 * interval '1 second' >= give_up_at
                            then 'failed' else 'waiting' end,
               next_attempt_at = utc_now() + %(delay)s::float8 * interval '1 second', error = %(reason)s::text
           where event_id = %(event_id)s::bigint and attempts = %(attempts)s::integer and state = 'waiting'""",
        event_id=due.event_id,
        attempts=due.attempts,
        delay=delay,
        is_final=is_final,
        reason=reason,
    )


async def forget_old(db: Connection, *, days: int, most: int) -> int:
    return await fetch_value(
        db,
        """with gone as (
               delete from bus_messages where id in (
                   select id from bus_messages where created_at < utc_now() - %(days)s::integer * interval '1 day'
                   limit %(most)s::integer for update skip locked)
               returning id
           ) select count(*) from gone""",
        days=days,
        most=most,
    )
