# SPDX-License-Identifier: Apache-2.0
"""The SQL of the retention of cases: which results are past their rule."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString, cast

import asyncpg

from dci_server.features.retention.model import rule_of_job
from dci_server.features.retention.queries import IN_ORDER, RULES
from dci_server.foundation.database.connection import (
    Connection,
    Record,
    execute,
    fetch_row,
    fetch_rows,
    fetch_value,
    transaction,
)

_RESULTS: LiteralString = (
    "from tests_results as results join jobs on jobs.id = results.job_id "
    + rule_of_job("cases")
    + " where results.number is not null"
)
_IS_EXPIRED: LiteralString = """
    coalesce(results.cases_at < utc_now() - make_interval(days => rule.days) and not jobs.tags && rule.keep_tags, false)
"""
# Over for long enough that no report can still be arriving in it.
_MONTHS: LiteralString = (
    """
    with months as (
        select part.relname::text as name, to_date(right(part.relname, 7), 'YYYY_MM')::timestamp as begin,
               to_date(right(part.relname, 7), 'YYYY_MM') + interval '1 month' as end
        from pg_inherits join pg_class as part on part.oid = inhrelid
        where inhparent = 'cases'::regclass and part.relname ~ '^cases_[0-9]{4}_[0-9]{2}$'
    )
    select name, "begin", "end" from months
    where "end" < utc_now() - interval '1 day' and not exists (
        select """
    + _RESULTS
    + """ and results.cases_at >= months."begin" and results.cases_at < months."end" and not """
    + _IS_EXPIRED
    + """)
    order by name
"""
)


async def list_expired(db: Connection) -> list[Record]:
    """Each rule, with the results and cases that are past it."""
    return await fetch_rows(
        db,
        "with expired as (select rule.id, count(*) as results, sum(results.total) as cases "
        + _RESULTS
        + " and "
        + _IS_EXPIRED
        + """ group by rule.id)
        select topics.name as topic, teams.name as team, rules.days, rules.keep_tags,
               coalesce(expired.results, 0)::bigint as results, coalesce(expired.cases, 0)::bigint as cases
        from """
        + RULES
        + " left join expired on expired.id = rules.id where rules.what = 'cases'"
        + IN_ORDER,
    )


async def bytes_of_a_case(db: Connection) -> float:
    """On the disk, indexes included, on average."""
    row = await fetch_row(
        db,
        """select sum(pg_total_relation_size(inhrelid)) as bytes, sum(greatest(reltuples, 0))::float8 as rows
           from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = 'cases'::regclass""",
    )
    counted = await fetch_value(
        db, "select coalesce(sum(total), 0)::float8 from tests_results where number is not null"
    )
    # Statistics may not be there yet; what results count is then closer.
    return float(row["bytes"]) / max(row["rows"], counted, 1.0) if row else 0.0


async def list_whole_months(db: Connection) -> list[Record]:
    """Partitions in which nothing is left to be kept."""
    return await fetch_rows(db, _MONTHS)


async def forget_cases(db: Connection, limit: int, month: Record | None) -> Sequence[int]:
    """Results lose their cases, which are then nobody's; how many results and cases. Outside of a month that is going
    to be dropped the rows are removed one report after the other."""
    begin: datetime | None = month["begin"] if month else None
    end: datetime | None = month["end"] if month else None
    row = await fetch_row(
        db,
        "with gone as (select results.id, results.number, results.cases_at, results.total "
        + _RESULTS
        + " and (%(begin)s::timestamp is null or (results.cases_at >= %(begin)s::timestamp and results.cases_at < %(end)s::timestamp))"
        " and "
        + _IS_EXPIRED
        + """ order by results.cases_at limit %(limit)s::integer for update of results skip locked
        ), forgotten as (
            update tests_results set number = null, cases_at = null from gone where tests_results.id = gone.id
        ), suites as (
            delete from tests_suites using gone where tests_suites.number = gone.number and %(begin)s::timestamp is not null
        ), queued as (
            insert into cases_to_remove (number, created_at, not_before) overriding system value
            select number, cases_at, utc_now() from gone where %(begin)s::timestamp is null on conflict (number) do nothing
        )
        select count(*) as results, coalesce(sum(total), 0) as cases from gone""",
        limit=limit,
        begin=begin,
        end=end,
    )
    assert row is not None
    return row["results"], row["cases"]


async def drop_month(db: Connection, month: Record) -> bool:
    """The name is one of `list_whole_months`. False while another process is at the results of that month, a report of that
    time gets new content, or somebody reads for long, a backup for example: a later round drops it."""
    try:
        return await _drop_month(db, month)
    except asyncpg.LockNotAvailableError:
        return False


async def _drop_month(db: Connection, month: Record) -> bool:
    async with transaction(db) as connection:
        # All who come later wait behind who waits for this lock.
        await execute(connection, "set local lock_timeout = '500ms'")
        is_left = await fetch_value(
            connection,
            """select exists (select from tests_results where number is not null
                              and cases_at >= %(begin)s::timestamp and cases_at < %(end)s::timestamp)
                      or exists (select from cases_to_remove where not_before > utc_now()
                                 and created_at >= %(begin)s::timestamp and created_at < %(end)s::timestamp)""",
            begin=month["begin"],
            end=month["end"],
        )
        if is_left:
            return False
        await execute(
            connection,
            """delete from cases_to_remove where created_at >= %(begin)s::timestamp and created_at < %(end)s::timestamp""",
            begin=month["begin"],
            end=month["end"],
        )
        await execute(connection, cast("LiteralString", f"drop table if exists {month['name']}"))
    return True
