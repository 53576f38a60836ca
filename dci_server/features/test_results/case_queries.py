# SPDX-License-Identifier: Apache-2.0
"""The SQL that looks for cases: in a job, through time, among what fails. Results are where it starts: see 0021."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from dci_server.features.test_results.model import CaseOfJob, FailingCase, RunOfCase
from dci_server.foundation.database.connection import Connection, Json, fetch_value
from dci_server.foundation.database.sql import Condition, all_of

# The last row of a full page tells where the next one begins.
_PAGE: LiteralString = """
    , '_meta', json_build_object('next', (array_agg(told.next))[%(limit)s::integer]))
    from (
"""
_TEST: LiteralString = """'test_id', encode(test_names.key, 'hex')::uuid,
    'classname', test_names.classname, 'name', test_names.name"""
_OUTCOME: LiteralString = """'status', cases.status, 'state', case_state(cases.previous_status, cases.status),
    'time', cases.time, 'type', left(cases.type, 2048), 'message', cases.message"""


async def list_cases_of_job(
    db: Connection, job_id: UUID, asked: Condition, limit: int, after: list[int] | None
) -> Json[list[CaseOfJob]]:
    """In the order of their files, and of each file. Those of deleted files are left out."""
    number, position = after or [0, -1]
    return Json(
        await fetch_value(
            db,
            "select json_build_object('cases', coalesce(json_agg(told.item), '[]'::json)"
            + _PAGE
            + """
            select found.item, results.number || '.' || found.position as next
            from tests_results as results
            join files on files.id = results.file_id and files.state <> 'archived'
            cross join lateral (
                select cases.position, json_build_object('suite', suites.name, """
            + _TEST
            + ", "
            + _OUTCOME
            + """, 'file_id', results.file_id, 'filename', results.name) as item
                from cases join test_names on test_names.id = cases.test_id
                join tests_suites as suites on suites.number = cases.number and suites.opened = cases.suite
                where cases.created_at = results.cases_at and cases.number = results.number
                      and cases.position > case results.number when %(number)s::bigint then %(position)s::integer else -1 end
                      and """
            + asked.sql
            + """
                order by cases.position limit %(limit)s::integer
            ) as found
            where results.job_id = %(job_id)s::uuid and results.number >= %(number)s::bigint
            order by results.number, found.position limit %(limit)s::integer
            ) as told""",
            **asked.params,
            job_id=job_id,
            number=number,
            position=position,
            limit=limit,
        )
    )


async def list_runs(
    db: Connection, test_id: UUID, visible: Condition, asked: Condition, limit: int, after: list[int] | None
) -> Json[list[RunOfCase]]:
    """Of one case, newest first, in the jobs that are visible."""
    moment, number, position = after or [None, None, None]
    of_team: LiteralString = "cases.team_id = any(%(team_ids)s::uuid[])" if "team_ids" in visible.params else "true"
    wanted = all_of(visible, asked)
    return Json(
        await fetch_value(
            db,
            "select json_build_object('runs', coalesce(json_agg(told.item), '[]'::json)"
            + _PAGE
            + """
            select json_build_object(
                       'created_at', cases.created_at, """
            + _OUTCOME
            + """, 'file_id', results.file_id, 'team_id', jobs.team_id,
                       'job', json_build_object('id', jobs.id, 'name', jobs.name, 'status', jobs.status,
                                                'created_at', jobs.created_at),
                       'topic', json_build_object('id', topics.id, 'name', topics.name),
                       'remoteci', json_build_object('id', remotecis.id, 'name', remotecis.name),
                       'components', (
                           select coalesce(json_agg(json_build_object('id', c.id, 'type', c.type,
                                      'display_name', c.display_name, 'version', c.version) order by c.type, c.id), '[]'::json)
                           from jobs_components join components as c on c.id = component_id where job_id = jobs.id)
                   ) as item,
                   (extract(epoch from cases.created_at) * 1000000)::bigint || '.' || cases.number || '.' || cases.position
                       as next
            from cases
            join tests_results as results on results.number = cases.number
            join files on files.id = results.file_id and files.state <> 'archived'
            join jobs on jobs.id = results.job_id
            join topics on topics.id = jobs.topic_id
            join remotecis on remotecis.id = jobs.remoteci_id
            where cases.test_id = (
                      -- Looked up first, so that the index on it gives the runs in their order: a page reads no more of them.
                      select id from test_names where key = decode(replace(%(test_id)s::uuid::text, '-', ''), 'hex')
                  ) and """
            + of_team
            + " and "
            + wanted.sql
            + """
                  and (%(moment)s::bigint is null
                       or (cases.created_at, cases.number, cases.position)
                          < (to_timestamp(0) at time zone 'UTC' + %(moment)s::bigint * interval '1 microsecond',
                             %(number)s::bigint, %(position)s::integer))
            order by cases.created_at desc, cases.number desc, cases.position desc limit %(limit)s::integer
            ) as told""",
            **wanted.params,
            test_id=test_id,
            moment=moment,
            number=number,
            position=position,
            limit=limit,
        )
    )


async def list_failing(
    db: Connection,
    topic_id: UUID,
    visible: Condition,
    between: tuple[datetime, datetime],
    limit: int,
    after: tuple[int, str] | None,
) -> Json[list[FailingCase]]:
    """What failed or broke most often first."""
    failures, key = after or (None, None)
    return Json(
        await fetch_value(
            db,
            """with reports as materialized (
                   -- Numbered, because numbers are sorted in half of the time and space that ids take.
                   select results.number, results.cases_at, jobs.created_at, dense_rank() over (order by jobs.id) as job,
                          dense_rank() over (order by jobs.remoteci_id) as remoteci
                   from jobs
                   join tests_results as results on results.job_id = jobs.id
                   join files on files.id = results.file_id and files.state <> 'archived'
                   where jobs.topic_id = %(topic_id)s::uuid and jobs.created_at >= %(begin)s::timestamp
                         and jobs.created_at < %(end)s::timestamp and results.number is not null and """
            + visible.sql
            + """
               ), counted as (
                   select failed.test_id, count(*) as failures, count(distinct reports.job) as jobs,
                          count(distinct reports.remoteci) as remotecis, max(reports.created_at) as last_failure
                   from reports cross join lateral (
                       select test_id from cases
                       where cases.created_at = reports.cases_at and cases.number = reports.number
                             and cases.status in ('failure', 'error')
                   ) as failed
                   group by failed.test_id
               )
               select json_build_object('cases', coalesce(json_agg(told.item), '[]'::json)"""
            + _PAGE
            + """
               select json_build_object('suite', (
                          -- One test has one suite: the name is that of any run.
                          select suites.name from cases
                          join tests_suites as suites on suites.number = cases.number and suites.opened = cases.suite
                          where cases.test_id = counted.test_id and cases.status in ('failure', 'error')
                          order by cases.created_at desc limit 1
                      ), """
            + _TEST
            + """, 'failures', failures, 'jobs', jobs, 'remotecis', remotecis, 'last_failure', last_failure) as item,
                      failures || '.' || encode(test_names.key, 'hex') as next
               from counted join test_names on test_names.id = counted.test_id
               where %(failures)s::bigint is null
                     or (-failures, test_names.key) > (-%(failures)s::bigint, decode(%(key)s::text, 'hex'))
               order by -failures, test_names.key limit %(limit)s::integer
               ) as told""",
            **visible.params,
            topic_id=topic_id,
            begin=between[0],
            end=between[1],
            failures=failures,
            key=key,
            limit=limit,
        )
    )
