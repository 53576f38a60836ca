# SPDX-License-Identifier: Apache-2.0
"""The SQL of test results."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import LiteralString
from uuid import UUID

from dci_server.features.test_results.model import TestsOfFile
from dci_server.foundation.content import Destination
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    copy_rows,
    execute,
    fetch_batches,
    fetch_row,
    fetch_rows,
    fetch_value,
    transaction,
)

CASE_COLUMNS: Sequence[LiteralString] = (
    "created_at", "number", "test_id", "team_id", "position", "suite", "status", "previous_status", "time",
    "value_start", "value_end", "stdout_start", "stdout_end", "stderr_start", "stderr_end", "type", "message",
)  # fmt: skip
STATE_COUNTS: Sequence[LiteralString] = ("additions", "unchanged", "regressions", "successfixes")
SUITE_COLUMNS: Sequence[LiteralString] = (
    "number", "id", "opened", "name", "is_last", "tests", "success", "failures", "errors", "skipped", "time",
    "distinct_cases", *STATE_COUNTS, "deletions", "properties",
)  # fmt: skip

# The previous run is the latest earlier job that says the same of itself (junit.md §5), of the same team; of its files with
# this name the latest counts (decision 43).
_ANNOUNCE: LiteralString = """
with target as (
    select jobs.* from jobs
    where jobs.id = coalesce(%(job_id)s::uuid, (select job_id from jobstates where id = %(jobstate_id)s::uuid))
          and jobs.state <> 'archived' and """
_ANNOUNCED: LiteralString = """
), announced as (
    insert into cases_to_remove (created_at, not_before)
    select coalesce(%(since)s::timestamp, utc_now()), utc_now() + interval '6 hours' from target
    returning number, created_at
)
select announced.number, announced.created_at, target.team_id, previous.id as previous_job_id,
       results.number as previous_number, results.cases_at as previous_at,
       array(select opened from tests_suites where number = results.number and not is_last) as superseded
from announced, target
left join lateral (
    select jobs.id from jobs
    where jobs.remoteci_id = target.remoteci_id and jobs.topic_id = target.topic_id and jobs.team_id = target.team_id
          and hashtextextended(jobs.name, 0) = hashtextextended(target.name, 0) and jobs.name = target.name
          and jobs.configuration = target.configuration and jobs.url = target.url
          and jobs.created_at < target.created_at and jobs.state <> 'archived'
    order by jobs.created_at desc, jobs.id desc limit 1
) as previous on true
left join lateral (
    select tests_results.number, tests_results.cases_at
    from tests_results join files on files.id = tests_results.file_id
    where tests_results.job_id = previous.id and tests_results.name = %(name)s::text and files.state <> 'archived'
    order by tests_results.created_at desc, tests_results.id desc limit 1
) as results on true
"""


async def announce_cases(db: Connection, destination: Destination) -> Record | None:
    """A number for the cases of a report, and what they are compared with; None without a job to put it on."""
    return await fetch_row(
        db,
        _ANNOUNCE + destination.changeable.sql + _ANNOUNCED,
        **destination.changeable.params,
        name=destination.name,
        job_id=destination.job_id,
        jobstate_id=destination.jobstate_id,
        since=destination.since,
    )


async def give_up_cases(db: Connection, number: int) -> None:
    """They may be removed at once, unless a result has them by now."""
    await execute(
        db, "update cases_to_remove set not_before = utc_now() where number = %(number)s::bigint", number=number
    )


async def find_tests(db: Connection, keys: list[bytes], target: Record) -> list[Record]:
    """In the order of the keys: the id of what was seen before, and how it went in the previous run. What is unused may
    be about to go (`unused_names.py`)."""
    return await fetch_rows(
        db,
        """select test_names.id, test_names.unused_since is not null as is_unused, (
                   select cases.status from cases
                   where cases.test_id = test_names.id and cases.created_at = %(previous_at)s::timestamp
                         and cases.number = %(previous_number)s::bigint and cases.suite <> all(%(superseded)s::integer[])
                   order by cases.position desc limit 1
               ) as previous_status
           from unnest(%(keys)s::bytea[]) with ordinality as given (key, n)
           left join test_names on test_names.key = given.key
           order by given.n""",
        keys=keys,
        previous_at=target["previous_at"],
        previous_number=target["previous_number"],
        superseded=target["superseded"],
    )


async def add_tests(db: Connection, names: Sequence[tuple[bytes, str, str]]) -> dict[bytes, int]:
    """The ids of all of them; somebody else may have added some meanwhile."""
    keys, classnames, own_names = (list(column) for column in zip(*names, strict=True))
    await execute(
        db,
        """insert into test_names (key, classname, name)
           select * from unnest(%(keys)s::bytea[], %(classnames)s::text[], %(names)s::text[])
           on conflict (key) do nothing""",
        keys=keys,
        classnames=classnames,
        names=own_names,
    )
    rows = await fetch_rows(db, "select key, id from test_names where key = any(%(keys)s::bytea[])", keys=keys)
    return {row["key"]: row["id"] for row in rows}


async def insert_cases(db: Connection, rows: Iterable[Sequence[object]]) -> None:
    await copy_rows(db, "cases", CASE_COLUMNS, rows)


async def count_states(db: Connection, target: Record) -> dict[int, Record]:
    """By suite, as it was opened: its different cases, and what became of them. Of a repeated case the last counts."""
    rows = await fetch_rows(
        db,
        """select suite, count(*) as distinct_cases, count(*) filter (where state = 'UNCHANGED') as unchanged,
                  count(*) filter (where previous_status is null) as additions,
                  count(*) filter (where state = 'REGRESSED') as regressions,
                  count(*) filter (where state = 'RECOVERED') as successfixes
           from (select distinct on (suite, test_id) suite, previous_status, case_state(previous_status, status) as state
                 from cases
                 where created_at = %(created_at)s::timestamp and number = %(number)s::bigint
                 order by suite, test_id, position desc) as last_ones
           group by suite""",
        created_at=target["created_at"],
        number=target["number"],
    )
    return {row["suite"]: row for row in rows}


async def insert_suites(db: Connection, rows: Iterable[Sequence[object]]) -> None:
    await copy_rows(db, "tests_suites", SUITE_COLUMNS, rows)


async def count_deletions(db: Connection, target: Record) -> int:
    """Notes in each suite how many cases of the previous suite of its name it lacks: those it has are not additions."""
    return await fetch_value(
        db,
        """with counted as (
               update tests_suites as suites
               set deletions = previous.distinct_cases - (suites.distinct_cases - suites.additions)
               from tests_suites as previous
               where suites.number = %(number)s::bigint and previous.number = %(previous_number)s::bigint
                     and previous.is_last and md5(previous.name) = md5(suites.name) and previous.name = suites.name
               returning suites.deletions
           )
           select least(coalesce(sum(deletions), 0), 2147483647)::integer from counted""",
        number=target["number"],
        previous_number=target["previous_number"],
    )


async def insert_result(db: Connection, file_id: UUID, recorded: Record, encoding: str, counts: dict[str, int]) -> bool:
    """Whether the cases were still there to be claimed."""
    claimed = await fetch_value(
        db,
        """with claimed as (
               delete from cases_to_remove where number = %(number)s::bigint and not_before > utc_now()
               returning number, created_at
           )
           insert into tests_results (created_at, name, total, success, skips, failures, errors, time, additions, deletions,
                                      unchanged, regressions, successfixes, job_id, file_id, number, cases_at, encoding,
                                      previous_job_id, previous_number)
           select files.created_at, files.name, %(total)s::integer, %(success)s::integer, %(skips)s::integer, %(failures)s::integer,
                  %(errors)s::integer, %(time)s::integer, %(additions)s::integer, %(deletions)s::integer,
                  %(unchanged)s::integer, %(regressions)s::integer, %(successfixes)s::integer, files.job_id, files.id,
                  claimed.number, claimed.created_at, %(encoding)s::text, %(previous_job_id)s::uuid,
                  %(previous_number)s::bigint
           from files, claimed where files.id = %(file_id)s::uuid
           returning number""",
        file_id=file_id,
        number=recorded["number"],
        previous_job_id=recorded["previous_job_id"],
        previous_number=recorded["previous_number"],
        encoding=encoding,
        **counts,
    )
    return claimed is not None


async def insert_counts(db: Connection, file_id: UUID, counts: dict[str, int]) -> None:
    """Of a report whose cases are no rows."""
    await execute(
        db,
        """insert into tests_results (created_at, name, total, success, skips, failures, errors, time, job_id, file_id)
           select created_at, name, %(total)s::integer, %(success)s::integer, %(skips)s::integer, %(failures)s::integer,
                  %(errors)s::integer, %(time)s::integer, job_id, id
           from files where id = %(file_id)s::uuid""",
        file_id=file_id,
        **{name: counts[name] for name in ("total", "success", "skips", "failures", "errors", "time")},
    )


async def delete_result(db: Connection, file_id: UUID) -> int | None:
    """The number that its cases had."""
    return await fetch_value(
        db, "delete from tests_results where file_id = %(file_id)s::uuid returning number", file_id=file_id
    )


async def compare_with(db: Connection, replaced: int, number: int) -> None:
    """What was compared with the cases of one number, from now on with those of another, which are the same."""
    await execute(
        db,
        "update tests_results set previous_number = %(number)s::bigint where previous_number = %(replaced)s::bigint",
        replaced=replaced,
        number=number,
    )


async def list_results(db: Connection, job_id: UUID) -> Json[list[TestsOfFile]]:
    """Those of deleted files are left out."""
    return Json(
        await fetch_value(
            db,
            """select json_build_object('results', coalesce(json_agg(row_to_json(r)), '[]'::json),
                                        '_meta', json_build_object('count', count(*)))
               from (select results.name, results.name as filename, total, success, skips, failures, errors, regressions,
                            successfixes, time, file_id
                     from tests_results as results join files on files.id = results.file_id
                     where results.job_id = %(job_id)s::uuid and files.state <> 'archived'
                     order by results.created_at, results.id) as r""",
            job_id=job_id,
        )
    )


async def find_result(db: Connection, file_id: UUID) -> Record | None:
    """With the run it was compared with, while that is there. None when its cases are no rows."""
    return await fetch_row(
        db,
        """select results.number, results.cases_at, results.encoding, results.total, results.deletions,
                  case when results.deletions = 0 then 0 else (
                      select coalesce(sum(before.distinct_cases), 0) from tests_suites as suites
                      join tests_suites as before on before.number = results.previous_number and before.is_last
                           and md5(before.name) = md5(suites.name) and before.name = suites.name
                      where suites.number = results.number and suites.deletions > 0
                  ) end as looked_for,
                  previous_job.id as previous_job_id, previous_job.name as previous_job_name,
                  previous.number as previous_number, previous.cases_at as previous_at, previous.encoding as previous_encoding,
                  previous.file_id as previous_file_id
           from tests_results as results
           left join jobs as previous_job on previous_job.id = results.previous_job_id and previous_job.state <> 'archived'
           left join (tests_results as previous join files on files.id = previous.file_id and files.state <> 'archived')
               on previous.number = results.previous_number and previous.job_id = previous_job.id
           where results.file_id = %(file_id)s::uuid and results.number is not null""",
        file_id=file_id,
    )


_SUITES: LiteralString = """
    select id, row_to_json(head)::text as head, properties::text as properties
    from (select id, name, tests, success, failures, errors, skipped, time, additions, deletions, unchanged, regressions,
                 successfixes from tests_suites where number = %(number)s::bigint) as head
    join (select id as same_id, properties from tests_suites where number = %(number)s::bigint) as rest on same_id = id
    order by id
"""


def list_suites(db: Connection, number: int, size: int) -> AsyncIterator[list[Record]]:
    """In the order of their ids, as JSON without properties and cases."""
    return fetch_batches(db, _SUITES, size, number=number)


_TOLD: LiteralString = """
    test_names.name, test_names.classname, cases.position, cases.time, cases.status::text as action, cases.message,
    left(cases.type, 2048) as type
"""
_TEXTS: LiteralString = """
    cases.value_start, cases.value_end, cases.stdout_start, cases.stdout_end, cases.stderr_start, cases.stderr_end
"""
# Each case looks for its suite, and never each suite through all cases: PostgreSQL, which knows little of a report that came
# a moment ago, believes it to have one suite (`offset` is what makes it keep the order).
_OWN_SUITES: LiteralString = """
    join lateral (
        select * from tests_suites where tests_suites.number = cases.number and tests_suites.opened = cases.suite offset 0
    ) as suites on true
"""
_OWN_CASES: LiteralString = (
    "select suites.id as suite, "
    + _TOLD
    + ", case_state(cases.previous_status, cases.status) as state, "
    + _TEXTS
    + " from cases"
    + _OWN_SUITES
    + """
    join test_names on test_names.id = cases.test_id
    where cases.created_at = %(cases_at)s::timestamp and cases.number = %(number)s::bigint
"""
)
# What a suite lacks of the previous suite of its name, with the data of that run (junit.md §4). As a difference of two sets,
# because a report may repeat one case, or one suite, as often as it likes.
_PREVIOUS_CASES: LiteralString = """
    with previous_cases as materialized (
        select distinct on (cases.suite, cases.test_id) cases.*, before.name as suite_name
        from cases join lateral (
            select * from tests_suites where tests_suites.number = cases.number and tests_suites.opened = cases.suite offset 0
        ) as before on true
        where cases.created_at = %(previous_at)s::timestamp and cases.number = %(previous_number)s::bigint and before.is_last
        order by cases.suite, cases.test_id, cases.position desc
    ), removed as (
        select suites.id as suite, suites.opened, previous_cases.test_id
        from previous_cases join tests_suites as suites on suites.name = previous_cases.suite_name
        where suites.number = %(number)s::bigint and suites.deletions > 0
        except
        select suites.id, suites.opened, cases.test_id
        from cases join lateral (
            select * from tests_suites where tests_suites.number = cases.number and tests_suites.opened = cases.suite offset 0
        ) as suites on true
        where cases.created_at = %(cases_at)s::timestamp and cases.number = %(number)s::bigint and suites.deletions > 0
    )
"""
_REMOVED_CASES: LiteralString = (
    " union all select removed.suite, "
    + _TOLD
    + ", 'REMOVED', "
    + _TEXTS
    + """
    from removed
    join tests_suites as suites on suites.number = %(number)s::bigint and suites.opened = removed.opened
    join previous_cases as cases on cases.test_id = removed.test_id and cases.suite_name = suites.name
    join test_names on test_names.id = cases.test_id
"""
)


async def size_of_longest(db: Connection, result: Record) -> int:
    """The bytes that a case takes with its names, in the report or in what it was compared with."""
    return await fetch_value(
        db,
        """select coalesce(max(octet_length(test_names.name) + octet_length(test_names.classname)
                               + coalesce(octet_length(left(cases.type, 2048)), 0)
                               + coalesce(octet_length(cases.message), 0)), 0)
           from cases join test_names on test_names.id = cases.test_id
           where cases.created_at = %(cases_at)s::timestamp and cases.number = %(number)s::bigint
                 or cases.created_at = %(previous_at)s::timestamp and cases.number = %(previous_number)s::bigint""",
        cases_at=result["cases_at"],
        number=result["number"],
        previous_at=result["previous_at"],
        previous_number=result["previous_number"],
    )


def list_report(db: Connection, result: Record, size: int) -> AsyncGenerator[list[Record]]:
    """The cases by suite and name; of repeated ones the last comes last."""
    order: LiteralString = ' order by suite, name collate "C", classname collate "C", position'
    if result["previous_number"] is None or not result["deletions"]:
        sql: LiteralString = "select * from (" + _OWN_CASES + ") as told" + order
        return fetch_batches(db, sql, size, number=result["number"], cases_at=result["cases_at"])
    return fetch_batches(
        db,
        _PREVIOUS_CASES + "select * from (" + _OWN_CASES + _REMOVED_CASES + ") as told" + order,
        size,
        number=result["number"],
        cases_at=result["cases_at"],
        previous_number=result["previous_number"],
        previous_at=result["previous_at"],
    )


async def prepare_months(db: Connection) -> None:
    """Partitions for this month and the next two. Gives up when it would make others wait for long."""
    async with transaction(db) as connection:
        await execute(connection, "set local lock_timeout = '5s'")
        await execute(connection, "select prepare_months_of_cases()")


async def find_cases_to_remove(connection: Connection, limit: int) -> list[Record]:
    """In the transaction that removes them."""
    return await fetch_rows(
        connection,
        """select number, created_at from cases_to_remove where not_before <= utc_now()
           order by number limit %(limit)s::integer for update skip locked""",
        limit=limit,
    )


async def remove_cases(connection: Connection, report: Record) -> None:
    await execute(
        connection,
        """with gone as (
               delete from cases where created_at = %(created_at)s::timestamp and number = %(number)s::bigint
           ), gone_suites as (
               delete from tests_suites where number = %(number)s::bigint
           )
           delete from cases_to_remove where number = %(number)s::bigint""",
        number=report["number"],
        created_at=report["created_at"],
    )


async def give_up_all_cases(db: Connection) -> None:
    """For the only server of a database, before it serves: nobody is left who could claim what was announced."""
    await execute(db, "update cases_to_remove set not_before = utc_now() where not_before > utc_now()")
