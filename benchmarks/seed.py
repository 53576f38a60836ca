# SPDX-License-Identifier: Apache-2.0
"""Bulk data for the tables that grow, written by PostgreSQL itself."""

from datetime import datetime, timedelta

import asyncpg

from benchmarks.load import LoadError

TEAMS = 60
TEAMS_OF_MEMBER = 50
TOPICS = 20

MEMBER = "benchmark"
"""A user of many teams, with the password of the demonstration's."""

_WHO = (
    f"""insert into teams (name)
        select 'Benchmark ' || n from generate_series(1, {TEAMS}) as n on conflict do nothing""",
    """insert into remotecis (name, team_id)
       select 'benchmark', id from teams where name like 'Benchmark %' on conflict do nothing""",
    f"""insert into users (name, fullname, email, password_hash)
        select '{MEMBER}', 'Benchmark', 'benchmark@example.org', password_hash from users where name = 'demo'
        on conflict do nothing""",
    f"""insert into users_teams (user_id, team_id)
        select users.id, teams.id from users, teams
        where users.name = '{MEMBER}'
              and teams.name = any(select 'Benchmark ' || n from generate_series(1, {TEAMS_OF_MEMBER}) as n)
        on conflict do nothing""",
    """insert into products_teams (product_id, team_id)
       select products.id, teams.id from products, teams where teams.name like 'Benchmark %' on conflict do nothing""",
    "analyze teams, remotecis, users_teams",
)
_TOPICS = f"""
insert into topics (name, product_id, export_control)
select 'Benchmark ' || n, topics.product_id, true from topics, generate_series(1, {TOPICS - 1}) as n
where topics.name = $1 on conflict do nothing
"""
# The topic that is worked on has its share of the components, the others have the rest.
_COMPONENTS = f"""
insert into components (name, display_name, version, type, topic_id, released_at, created_at, tags)
select made.name, made.name, n::text, (array['compose', 'kernel', 'driver', 'ocp'])[1 + n / {TOPICS} % 4], topic.id,
       made.day, made.day, array['build:' || (array['nightly', 'ga'])[1 + n / {TOPICS} % 10 / 9], 'kernel:' || n % 100]
from (select id, row_number() over (order by name <> $1, name) - 1 as number from topics
      where name = $1 or name like 'Benchmark %') as topic
join generate_series(1, $2::integer) as n on topic.number = n % {TOPICS},
     lateral (select 'benchmark-' || n as name, utc_now() - interval '1 day' - n * interval '10 minutes' as day) as made
on conflict do nothing
"""
# A third of the jobs are of the laboratory that asks, the others of teams whose jobs it must not see.
_JOBS = """
with laboratory as (
    select id, team_id, row_number() over (order by remotecis.name <> 'demo-remoteci', id) - 1 as number from remotecis
    where name in ('demo-remoteci', 'benchmark')
)
insert into jobs (created_at, updated_at, name, comment, status, duration, tags, topic_id, product_id, remoteci_id,
                  team_id, user_agent, client_version)
select made.moment, made.moment, 'nightly-' || n % 50, 'job number ' || n,
       (array['success', 'success', 'failure', 'error'])[1 + n % 4], n % 7200, array['nightly', 'lab:' || n % 20],
       topics.id, topics.product_id, laboratory.id, laboratory.team_id, 'benchmark', 'benchmark'
from generate_series(1, $2::integer) as n
join laboratory on laboratory.number = case when n % 3 = 0 then 0 else 1 + n % (select count(*) - 1 from laboratory) end
join topics on topics.name = $1,
     lateral (select utc_now() - interval '1 day' - n * interval '2 minutes' as moment) as made
"""
_RUNS = (
    """insert into jobs_components (job_id, component_id)
       select jobs.id, chosen.id
       from (select id, row_number() over () as n from jobs where user_agent = 'benchmark') as jobs
       cross join lateral (values (jobs.n % 40000), ((jobs.n + 7) % 40000)) as wanted (n)
       join (select id, row_number() over () - 1 as n from components where name like 'benchmark-%') as chosen
           on chosen.n = wanted.n""",
    """with uploaded as (
           insert into files (name, mime, sha256, size, job_id, team_id)
           select 'results.xml', 'application/junit', '', 0, id, team_id from jobs where user_agent = 'benchmark'
           returning id, job_id)
       insert into tests_results (name, total, success, skips, failures, errors, time, job_id, file_id)
       select 'results.xml', 100, 97, 1, 1, 1, 60000, job_id, id from uploaded""",
)

CASES_OF_A_REPORT = 1_000
TESTS = 20_000
CASE = "benchmark case 8"
"""It is in every second report, and fails in every tenth of those. The id of a case is the MD5 of its name."""
SOUND_CASE = "benchmark case 7"
"""As often run, and it never fails."""

_NAMES = f"""
insert into test_names (key, classname, name)
select decode(md5('benchmark case ' || n), 'hex'), 'class ' || n / 50, 'benchmark case ' || n
from generate_series(0, {TESTS - 1}) as n on conflict do nothing
"""
# The newest reports have their rows, a thousand each, in the months in which their jobs ran.
_NUMBERED = """
with numbered as (
    select tests_results.id, nextval('cases_to_remove_number_seq') as number, jobs.created_at + interval '1 minute' as moment
    from tests_results join jobs on jobs.id = tests_results.job_id where jobs.user_agent = 'benchmark'
    order by jobs.created_at desc limit $1::integer
)
update tests_results set number = numbered.number, cases_at = numbered.moment, encoding = 'utf-8'
from numbered where tests_results.id = numbered.id
"""
_TESTS = f"""
create temporary table seeded_tests as
select n, test_names.id from generate_series(0, {TESTS - 1}) as n
join test_names on test_names.key = decode(md5('benchmark case ' || n), 'hex')
"""
_SUITES = """
insert into tests_suites (number, id, opened, name, is_last, tests, success, failures, errors, skipped, time, distinct_cases,
                          additions, deletions, unchanged, regressions, successfixes, properties)
select number, 0, 0, 'suite 0', true, 1000, 950, 50, 0, 0, 60, 1000, 0, 0, 1000, 0, 0, '[]'
from tests_results where number is not null on conflict do nothing
"""
_CASES = f"""
insert into {{table}} (created_at, number, test_id, team_id, position, suite, status, previous_status, time, message)
select results.cases_at, results.number, seeded_tests.id, jobs.team_id, position, 0,
       (array['failure', 'success'])[1 + least((position + results.number) % 20, 1)]::test_status, 'success', position % 60,
       case when (position + results.number) % 20 = 0 then 'expected 0, was 1' end
from tests_results as results
join jobs on jobs.id = results.job_id
cross join generate_series(0, {CASES_OF_A_REPORT - 1}) as position
join seeded_tests on seeded_tests.n = (position + results.number % 2 * 500) % {TESTS}
where results.cases_at >= $1::timestamp and results.cases_at < $1::timestamp + interval '1 month'
      and results.number % $2::bigint = $3::bigint
"""
_CASES_AT_ONCE = 2_000_000


async def seed(database_url: str, topic: str, jobs: int, components: int, cases: int = 0) -> None:
    """Components, jobs with two components and a result each, a member of many teams. The laboratory is the demonstration's."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        database_url, server_settings={"dci.events": "off"}
    )
    try:
        async with connection.transaction():
            for statement in _WHO:
                await connection.execute(statement)
            await connection.execute(_TOPICS, topic)
            await connection.execute(_COMPONENTS, topic, components)
            await connection.execute(_JOBS, topic, jobs)
            for statement in _RUNS:
                await connection.execute(statement)
        await _seed_cases(connection, cases)
        # So that the measurements do not pay for what the bulk has left behind.
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def _seed_cases(connection: "asyncpg.Connection[asyncpg.Record]", cases: int) -> None:
    if not cases:
        return
    await connection.execute("set maintenance_work_mem = '512MB'")
    for statement, values in (
        (_NAMES, ()),
        (_TESTS, ()),
        ("analyze seeded_tests", ()),
        (_NUMBERED, (cases // CASES_OF_A_REPORT,)),
        (_SUITES, ()),
    ):
        await connection.execute(statement, *values)
    months = await connection.fetch(
        """select date_trunc('month', cases_at) as begin, count(*) as reports from tests_results
           where number is not null group by 1 order by 1"""
    )
    for month in months:
        await _seed_month(connection, month["begin"], month["reports"])
    await connection.execute("drop table seeded_tests")


async def _seed_month(connection: "asyncpg.Connection[asyncpg.Record]", month: datetime, reports: int) -> None:
    """A partition that is filled first, and then gets its indexes: tens of millions of rows in minutes."""
    table = f"cases_{month:%Y_%m}"
    async with connection.transaction():
        if await connection.fetchval("select to_regclass($1) is not null", table):
            if await connection.fetchval(f"select exists (select from {table})"):
                raise LoadError("there are cases already: seed an empty database")
            await connection.execute(f"alter table cases detach partition {table}; drop table {table}")
        await connection.execute(f"create table {table} (like cases) with (autovacuum_enabled = off)")
    # In parts of a few million rows, so that no statement takes long enough to be taken for lost.
    parts = 1 + reports * CASES_OF_A_REPORT // _CASES_AT_ONCE
    for part in range(parts):
        await connection.execute(_CASES.format(table=table), month, parts, part)
    indexes = await connection.fetch(
        "select indexname, indexdef from pg_indexes where schemaname = 'public' and tablename = 'cases'"
    )
    for index in indexes:
        definition: str = index["indexdef"]
        own = definition.replace(f" {index['indexname']} ", " ").replace("ON ONLY public.cases ", f"ON {table} ")
        await connection.execute(own)
    end = (month + timedelta(days=32)).replace(day=1)
    await connection.execute(
        f"""alter table {table} reset (autovacuum_enabled);
            alter table cases attach partition {table} for values from ('{month}') to ('{end}')"""
    )
