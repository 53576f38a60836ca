# SPDX-License-Identifier: Apache-2.0
"""Laboratories that make no jobs for much longer than they are used to are told of, once, and again when they are back."""

from datetime import timedelta
from typing import LiteralString

import structlog

from dci_server.foundation.database.connection import Connection, execute, fetch_row

AT_ONCE = 200
# What a laboratory is used to: the second longest pause between the jobs of that time before its last one, so that nights and
# weekends belong to it, and one outage does not. Of so many jobs at most, and not of fewer than tell a rhythm.
_RHYTHM_OF: LiteralString = "interval '60 days'"
_MOST_JOBS: LiteralString = "500"
_FEWEST_JOBS: LiteralString = "6"
_FACTOR: LiteralString = "2"

log = structlog.get_logger("dci_server.silence")

_LISTENED_FOR: LiteralString = """
    select remotecis.id, remotecis.name, remotecis.team_id
    from remotecis join teams on teams.id = remotecis.team_id
    where remotecis.state = 'active' and teams.state = 'active'
"""
_LISTEN: LiteralString = (
    "insert into remotecis_watched (remoteci_id) select id from ("
    + _LISTENED_FOR
    + """) as active where not exists (select from remotecis_watched where remoteci_id = active.id)
    on conflict (remoteci_id) do nothing"""
)
# What is told and that it was told are one statement, and each process has its own rows. One that is not silent is looked at
# when it would be, but daily; one that is silent the sooner, the shorter it has been.
_LOOK: LiteralString = (
    """
with due as materialized (
    select * from remotecis_watched where look_at <= utc_now()
    order by look_at limit %(most)s::integer for update skip locked
), heard as materialized (
    select due.remoteci_id, due.created_at, due.silent_since, due.is_told, active.id is not null as is_active, active.name,
           active.team_id, newest.created_at as last_job_at, rhythm.pause,
           newest.created_at + greatest(%(least)s::interval, rhythm.pause * """
    + _FACTOR
    + """) as silent_from
    from due
    left join ("""
    + _LISTENED_FOR
    + """) as active on active.id = due.remoteci_id
    left join lateral (
        select created_at from jobs where jobs.remoteci_id = due.remoteci_id order by created_at desc, id desc limit 1
    ) as newest on true
    left join lateral (
        select case when count(*) >= """
    + _FEWEST_JOBS
    + """ then (array_agg(pause order by pause desc nulls last))[2] end as pause
        from (
            select created_at - lead(created_at) over (order by created_at desc) as pause
            from (select created_at from jobs
                  where jobs.remoteci_id = due.remoteci_id and created_at >= newest.created_at - """
    + _RHYTHM_OF
    + """
                  order by created_at desc, id desc limit """
    + _MOST_JOBS
    + """) as made
        ) as pauses
    ) as rhythm on true
), judged as materialized (
    select *, silent_since is null and pause is not null and silent_from <= utc_now() as falls_silent,
           coalesce(silent_since < last_job_at, false) as is_back
    from heard where is_active
), told as (
    insert into events_outbox (type, subject_kind, subject_id, team_id, remoteci_id, data)
    select case when falls_silent then 'remoteci_silent' else 'remoteci_back' end, 'remoteci', remoteci_id, team_id,
           remoteci_id,
           jsonb_build_object('name', name, 'last_job_at', case when falls_silent then last_job_at else silent_since end)
           || case when falls_silent
                   then jsonb_build_object('usual_pause', round(extract(epoch from pause))::bigint) else '{}' end
    from judged where (falls_silent and silent_from > created_at) or (is_back and is_told)
    returning type
), noted as (
    update remotecis_watched set
        silent_since = case when falls_silent then last_job_at when not is_back then judged.silent_since end,
        is_told = case when falls_silent then silent_from > judged.created_at else judged.is_told and not is_back end,
        look_at = case
            when falls_silent then utc_now() + interval '1 minute'
            when judged.silent_since is null then
                least(utc_now() + interval '1 day', case when pause is null then 'infinity' else silent_from end)
            when is_back then utc_now()
            else utc_now() + least(interval '1 hour',
                                   greatest(interval '1 minute', (utc_now() - judged.silent_since) / 100)) end
    from judged where remotecis_watched.remoteci_id = judged.remoteci_id
), forgotten as (
    delete from remotecis_watched where remoteci_id in (select remoteci_id from heard where not is_active)
)
select (select count(*) from due) as looked_at, (select count(*) from told where type = 'remoteci_silent') as silent,
       (select count(*) from told where type = 'remoteci_back') as back
"""
)


async def tell_silent_remotecis(db: Connection, least: timedelta) -> bool:
    """Looks at some, in several processes at once; whether there may be more. None is silent before `least` has passed."""
    await execute(db, _LISTEN)
    row = await fetch_row(db, _LOOK, least=least, most=AT_ONCE)
    assert row is not None
    if row["silent"] or row["back"]:
        log.info("laboratories fell silent, or are back", silent=row["silent"], back=row["back"])
    return row["looked_at"] == AT_ONCE
