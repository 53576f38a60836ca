# SPDX-License-Identifier: Apache-2.0
"""A migration finds rows of those before it, and leaves them right."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from dci_server.features.test_results.junit import shortened
from dci_server.foundation.database.embedded import EmbeddedPostgres
from dci_server.foundation.database.migrate import migrate
from dci_server.foundation.errors import Unavailable


@pytest.fixture
async def empty(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database without a table."""
    name = f"empty_{uuid4().hex}"
    server: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(postgres.url)
    await server.execute(f"create database {name}")
    yield postgres.url.replace("/dci?", f"/{name}?")
    await server.execute(f"drop database {name} with (force)")
    await server.close()


async def test_jobs_that_are_there_already_are_counted_by_state(empty: str) -> None:
    await migrate(empty, "0003")
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(empty)
    await db.execute(
        """insert into teams (name) values ('Blue'), ('Red'), ('Idle');
           insert into remotecis (name, team_id) select name, id from teams;
           insert into products (name, label) values ('RHEL', 'RHEL');
           insert into topics (name, product_id) select 'RHEL-9.6', id from products;
           insert into jobs (topic_id, product_id, remoteci_id, team_id, state)
           select topics.id, product_id, remotecis.id, team_id, wanted.state
           from topics, remotecis join (values ('Blue', 'active', 5), ('Blue', 'inactive', 2), ('Blue', 'archived', 4),
                                               ('Red', 'active', 1), ('Red', 'archived', 1)) as wanted (team, state, number)
               on wanted.team = remotecis.name, generate_series(1, wanted.number)"""
    )
    await db.close()

    await migrate(empty)

    db = await asyncpg.connect(empty)
    assert await _totals(db) == {("Blue", "active"): 5, ("Blue", "inactive"): 2, ("Red", "active"): 1}
    await db.execute(
        "update jobs set state = 'archived' where state = 'active'; delete from jobs where state = 'inactive'"
    )
    assert await _totals(db) == {}
    await db.close()


async def test_long_names_of_test_cases_are_cut_as_those_that_arrive(empty: str) -> None:
    await migrate(empty, "0029")
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(empty)
    names = ["short", "é" * 2048, "é" * 2049]
    await db.execute(
        """insert into test_names (key, suite, classname, name)
           select convert_to(md5(name), 'UTF8'), 's', name, name from unnest($1::text[]) as name""",
        names,
    )
    await db.execute(
        """insert into tests_suites (number, id, opened, name, is_last, tests, success, failures, errors, skipped, time,
                                     distinct_cases, additions, deletions, unchanged, regressions, successfixes, properties)
           select 1, n, n, name, true, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '[]'
           from unnest($1::text[]) with ordinality as given (name, n)""",
        names,
    )
    await db.close()

    await migrate(empty)

    db = await asyncpg.connect(empty)
    cut = {shortened(name) for name in names}
    for column, table in (("classname", "test_names"), ("name", "test_names"), ("name", "tests_suites")):
        assert {row[0] for row in await db.fetch(f"select {column} from {table}")} == cut
    await db.close()


async def test_a_schema_of_a_newer_version_is_left_as_it_is(empty: str) -> None:
    await migrate(empty)
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(empty)
    await db.execute("update alembic_version set version_num = '9999'")

    with pytest.raises(Unavailable, match=r"\(9999\) is of a newer dci-server than this one"):
        await migrate(empty)

    assert await db.fetchval("select version_num from alembic_version") == "9999"
    await db.close()


async def _totals(db: "asyncpg.Connection[asyncpg.Record]") -> dict[tuple[str, str], int]:
    rows = await db.fetch(
        """select teams.name, jobs_totals.state, sum(total)::integer as total
           from jobs_totals join teams on teams.id = team_id group by 1, 2 having sum(total) <> 0"""
    )
    return {(row["name"], row["state"]): row["total"] for row in rows}
