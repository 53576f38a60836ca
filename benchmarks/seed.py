# SPDX-License-Identifier: Apache-2.0
"""Bulk data for the tables that grow, written by PostgreSQL itself."""

import asyncpg

TEAMS = 10
COMPONENTS = 60

# A third of the jobs are of the laboratory that asks, the others of teams whose jobs it must not see.
_STATEMENTS = (
    f"""insert into teams (name)
        select 'Benchmark ' || n from generate_series(1, {TEAMS}) as n on conflict do nothing""",
    """insert into remotecis (name, team_id)
       select 'benchmark', id from teams where name like 'Benchmark %' on conflict do nothing""",
    f"""insert into components (name, display_name, version, type, topic_id, released_at, created_at, tags)
        select made.name, made.name, n::text, 'compose', topics.id, made.day, made.day, array['build:nightly', 'kernel:' || n]
        from topics, generate_series(1, {COMPONENTS}) as n,
             lateral (select 'benchmark-' || n as name, utc_now() - (n + 30) * interval '1 day' as day) as made
        where topics.name = $1 on conflict do nothing""",
)
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
       select jobs.id, components.id
       from (select id, row_number() over () as n from jobs where user_agent = 'benchmark') as jobs
       join (select id, row_number() over () as n from components) as components
           on components.n in (1 + jobs.n % 50, 2 + jobs.n % 50)""",
    """with uploaded as (
           insert into files (name, mime, sha256, size, job_id, team_id)
           select 'results.xml', 'application/junit', '', 0, id, team_id from jobs where user_agent = 'benchmark'
           returning id, job_id)
       insert into tests_results (name, total, success, skips, failures, errors, time, job_id, file_id)
       select 'results.xml', 100, 97, 1, 1, 1, 60000, job_id, id from uploaded""",
)


async def seed(database_url: str, topic: str, jobs: int) -> None:
    """Components of the topic, and jobs with two components and a result each. The laboratory is the demonstration's."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            for statement in _STATEMENTS[:2]:
                await connection.execute(statement)
            await connection.execute(_STATEMENTS[2], topic)
            await connection.execute(_JOBS, topic, jobs)
            for statement in _RUNS:
                await connection.execute(statement)
        # So that the measurements do not pay for what the bulk has left behind.
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
    finally:
        await connection.close()
