# SPDX-License-Identifier: Apache-2.0
"""The pool lends a connection to one at a time, and never one whose state nobody knows."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dci_server.foundation.database.connection import Pool, open_pool, transaction
from dci_server.foundation.errors import Unavailable

_BACKEND = "select pg_backend_pid()"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, size=2)
    yield opened
    await opened.close()


async def test_more_callers_than_connections_are_all_served(pool: Pool) -> None:
    answers = await asyncio.gather(*(pool.fetchval("select $1::int, pg_sleep(0.01)", n) for n in range(20)))

    assert answers == list(range(20))
    assert await _connections(pool) == 2


async def test_a_connection_that_did_its_work_is_used_again(pool: Pool) -> None:
    first = await pool.fetchval(_BACKEND)

    assert await pool.fetchval(_BACKEND) == first


async def test_a_refused_statement_leaves_its_connection_usable(pool: Pool) -> None:
    first = await pool.fetchval(_BACKEND)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.fetch("select 1 / 0")

    assert await pool.fetchval(_BACKEND) == first


async def test_a_connection_whose_backend_died_is_replaced(pool: Pool) -> None:
    first = await pool.fetchval(_BACKEND)
    with pytest.raises(asyncpg.PostgresError):
        await pool.fetchval("select pg_terminate_backend(pg_backend_pid())")

    assert await pool.fetchval(_BACKEND) != first
    assert await _connections(pool) == 1


async def test_a_statement_that_was_cancelled_takes_its_connection_along(pool: Pool) -> None:
    first = await pool.fetchval(_BACKEND)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pool.fetchval("select pg_sleep(20)")

    assert await pool.fetchval(_BACKEND) != first
    await pool.close()
    assert first not in await _backends(pool)


async def test_who_gives_up_waiting_leaves_the_connection_to_the_next(pool: Pool) -> None:
    async with pool.acquire(), pool.acquire():
        impatient = asyncio.create_task(pool.fetchval("select 1"))
        patient = asyncio.create_task(pool.fetchval("select 2"))
        await asyncio.sleep(0)
        impatient.cancel()

    assert await patient == 2
    assert await asyncio.gather(*(pool.fetchval("select 3") for _ in range(3))) == [3, 3, 3]


async def test_a_transaction_that_fails_leaves_nothing_behind(pool: Pool) -> None:
    async def fail() -> None:
        async with transaction(pool) as connection:
            await connection.execute("create table left_behind ()")
            await connection.execute("select 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await fail()

    assert await pool.fetchval("select to_regclass('left_behind')") is None


async def test_a_database_that_does_not_answer_is_heard_of_at_once() -> None:
    with pytest.raises(Unavailable, match="DATABASE_URL"):
        await open_pool("postgresql://nobody@127.0.0.1:1/nothing")


async def _connections(pool: Pool) -> int:
    return len(await _backends(pool))


async def _backends(pool: Pool) -> list[int]:
    rows = await pool.fetch(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'dci-server'"
    )
    return [row["pid"] for row in rows]
