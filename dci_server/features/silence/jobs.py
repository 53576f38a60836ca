# SPDX-License-Identifier: Apache-2.0
"""Jobs that have said nothing for too long are closed as errors."""

from datetime import timedelta
from typing import LiteralString

import structlog

from dci_server.features.uploads.queries import LAST_PIECE_AT
from dci_server.foundation.database.connection import Connection, fetch_row, fetch_value

AT_ONCE = 100
_FOUND_AT_ONCE = 1_000
# Jobs that were silent for longer than that when somebody began to watch are history: nobody is told of them now.
_HISTORY: LiteralString = "interval '7 days'"
_IS_OVER: LiteralString = "(jobs.status in ('success', 'failure', 'killed', 'error') or jobs.state = 'archived')"

log = structlog.get_logger("dci_server.silence")

# One process at a time moves the position. A job is older than the silence when it is found, and so it was committed long ago.
_FIND: LiteralString = (
    """
with reached as materialized (
    select greatest(created_at, utc_now() - %(silence)s::interval - """
    + _HISTORY
    + """) as created_at, job_id
    from jobs_watching for update skip locked
), found as materialized (
    select jobs.id, jobs.created_at, jobs.updated_at, """
    + _IS_OVER
    + """ as is_over
    from reached cross join lateral (
        select * from jobs
        where (jobs.created_at, jobs.id) > (reached.created_at, reached.job_id)
              and jobs.created_at <= utc_now() - %(silence)s::interval
        order by jobs.created_at, jobs.id limit %(most)s::integer) as jobs
), watched as (
    insert into jobs_watched (job_id, heard_at) select id, updated_at from found where not is_over
    on conflict (job_id) do nothing
), moved as (
    update jobs_watching set (created_at, job_id) = (
        select created_at, id from found order by created_at desc, id desc limit 1)
    where exists (select from found)
)
select count(*) from found
"""
)

# What is said at the same time is heard: a job whose row somebody writes is left alone, and what was written since the
# statement began is looked at again when the row is locked. The rest is what a laboratory's last state does (jobs.md §9.1).
_CLOSE: LiteralString = (
    """
with due as materialized (
    select job_id from jobs_watched where heard_at <= utc_now() - %(silence)s::interval
    order by heard_at limit %(most)s::integer for update skip locked
), seen as materialized (
    select jobs.id, """
    + _IS_OVER
    + """ as is_over,
           greatest(jobs.updated_at, (select max("""
    + LAST_PIECE_AT
    + """) from uploads where uploads.job_id = jobs.id)) as heard_at
    from due join jobs on jobs.id = due.job_id
), silent as materialized (
    select jobs.id from seen join jobs on jobs.id = seen.id
    where not seen.is_over and seen.heard_at <= utc_now() - %(silence)s::interval
          and jobs.updated_at <= utc_now() - %(silence)s::interval and not """
    + _IS_OVER
    + """
    for no key update of jobs skip locked
), closed as (
    update jobs set
        status = 'error',
        duration = round(extract(epoch from utc_now() - jobs.created_at))::integer,
        etag = left(jobs.etag, 16) || right(new_etag(), 16),
        updated_at = utc_now()
    from silent where jobs.id = silent.id
    returning jobs.id
), stated as (
    insert into jobstates (job_id, status, comment) select id, 'error', %(reason)s::text from closed
), audited as (
    insert into audits (kind, action, path, subject_id)
    select 'server', 'close_silent_job', '/api/v1/jobs/' || id, id from closed
), heard as (
    update jobs_watched set heard_at = seen.heard_at from seen
    where jobs_watched.job_id = seen.id and not seen.is_over and seen.heard_at > utc_now() - %(silence)s::interval
    returning 1
), forgotten as (
    delete from jobs_watched
    where job_id in (select id from seen where is_over union all select id from closed)
    returning 1
)
select (select count(*) from heard) + (select count(*) from forgotten) as looked_at, (select count(*) from closed) as closed
"""
)


async def close_silent_jobs(db: Connection, silence: timedelta) -> bool:
    """Some of them, in several processes at once; whether there may be more."""
    found = await fetch_value(db, _FIND, silence=silence, most=_FOUND_AT_ONCE)
    row = await fetch_row(db, _CLOSE, silence=silence, most=AT_ONCE, reason=_reason(silence))
    assert row is not None
    if row["closed"]:
        log.info("silent jobs were closed", jobs=row["closed"])
    return found == _FOUND_AT_ONCE or row["looked_at"] == AT_ONCE


def _reason(silence: timedelta) -> str:
    return f"closed by the server: nothing was heard of this job for {_in_words(silence)}"


def _in_words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            number = seconds // size
            return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
    return f"{seconds} seconds"
