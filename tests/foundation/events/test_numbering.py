# SPDX-License-Identifier: Apache-2.0
"""Ids are in the order in which events can be seen, whatever the order in which transactions began and ended."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from dci_server.foundation.database.connection import Connection, open_pool
from dci_server.foundation.events import numbering
from dci_server.foundation.events.numbering import EventNumbering, keep_partitions, number, number_all
from tests.conftest import World
from tests.waiting import PATIENCE, until

_WRITE = "insert into events_outbox (type, subject_kind, subject_id, data) values ($1, 'test', gen_random_uuid(), '{}')"


@pytest.fixture
async def others(database_url: str) -> AsyncIterator[list["asyncpg.Connection[asyncpg.Record]"]]:
    """Connections of their own, as many as writers at once."""
    opened = [await asyncpg.connect(database_url) for _ in range(4)]
    yield opened
    for connection in opened:
        await connection.close()


async def _numbered(world: World) -> list[tuple[int, str]]:
    rows = await world.db.fetch("select id, type from events where subject_kind = 'test' order by id")
    return [(row["id"], row["type"]) for row in rows]


async def test_who_has_seen_an_event_never_finds_a_smaller_id_later(
    world: World, others: list["asyncpg.Connection[asyncpg.Record]"]
) -> None:
    """Of three that began in this order, the second is committed first and the first last."""
    await number_all(world.db)
    transactions = [connection.transaction() for connection in others[:3]]
    for name, connection, transaction in zip("abc", others, transactions, strict=False):
        await transaction.start()
        await connection.execute(_WRITE, name)

    seen: list[tuple[int, str]] = []
    for place in (1, 2, 0):
        await transactions[place].commit()
        await number_all(world.db)
        now = await _numbered(world)
        assert now[: len(seen)] == seen
        seen = now

    assert [name for _, name in seen] == ["b", "c", "a"]


async def test_what_is_undone_was_never_told(world: World, others: list["asyncpg.Connection[asyncpg.Record]"]) -> None:
    transaction = others[0].transaction()
    await transaction.start()
    await others[0].execute(_WRITE, "undone")
    await transaction.rollback()
    await others[0].execute(_WRITE, "done")

    await number_all(world.db)

    assert [name for _, name in await _numbered(world)] == ["done"]


async def test_several_numberers_and_writers_leave_one_sequence_without_gaps(
    world: World, others: list["asyncpg.Connection[asyncpg.Record]"]
) -> None:
    """A reader that polls meanwhile sees the log only grow at its end."""
    await number_all(world.db)
    before = await world.db.fetchval("select last_id from events_numbering")
    chance = random.Random(5)

    async def write(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
        for n in range(25):
            async with connection.transaction():
                await connection.execute(_WRITE, f"{name}{n}")
                await asyncio.sleep(chance.random() / 500)

    async def keep_numbering(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while not done.is_set():
            await number(connection)
            await asyncio.sleep(0)

    async def keep_reading() -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        while not done.is_set():
            now = await _numbered(world)
            assert now[: len(seen)] == seen
            seen = now
        return seen

    done = asyncio.Event()
    work = [asyncio.create_task(keep_numbering(each)) for each in others[:2]]
    reading = asyncio.create_task(keep_reading())
    await asyncio.gather(write(others[2], "a"), write(others[3], "b"))
    done.set()
    await asyncio.gather(*work)
    await reading
    await number_all(world.db)

    numbered = await _numbered(world)
    assert [identifier for identifier, _ in numbered] == [before + n for n in range(1, 51)]
    for name in "ab":
        assert [each for _, each in numbered if each.startswith(name)] == [f"{name}{n}" for n in range(25)]
    assert await world.count("events_outbox") == 0


async def test_those_who_listen_are_woken_once_for_a_batch(
    world: World, others: list["asyncpg.Connection[asyncpg.Record]"]
) -> None:
    await number_all(world.db)
    heard: asyncio.Queue[int] = asyncio.Queue()

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard.put_nowait(int(str(payload)))

    await others[0].add_listener("events", hear)
    for name in "abc":
        await world.db.execute(_WRITE, name)

    await number_all(world.db)

    last = (await _numbered(world))[-1][0]
    assert await asyncio.wait_for(heard.get(), PATIENCE) == last
    await others[0].fetchval("select 1")
    assert heard.empty()


async def test_weeks_that_are_old_go_and_those_to_come_are_there(world: World) -> None:
    weeks = "select count(*) from pg_inherits where inhparent = 'events'::regclass"
    await number_all(world.db)
    await world.db.execute(_WRITE, "recent")
    await number_all(world.db)
    ahead = await world.db.fetchval(weeks)
    await world.db.execute(
        """create table events_20200106 (like events including all);
           alter table events attach partition events_20200106 for values from ('2020-01-06') to ('2020-01-13')"""
    )
    await world.db.execute(
        """insert into events (id, numbered_at, created_at, type, subject_kind, subject_id, data)
           values (0, '2020-01-08', '2020-01-08', 'old', 'test', gen_random_uuid(), '{}')"""
    )

    dropped = await keep_partitions(world.db, timedelta(days=1))

    assert dropped == 1
    assert [name for _, name in await _numbered(world)] == ["recent"]
    assert await world.db.fetchval(weeks) == ahead >= 3


async def test_nobody_waits_for_a_reader_whom_old_events_wait_for(
    world: World, others: list["asyncpg.Connection[asyncpg.Record]"]
) -> None:
    await world.db.execute(
        """create table events_20200106 (like events including all);
           alter table events attach partition events_20200106 for values from ('2020-01-06') to ('2020-01-13')"""
    )
    backup = others[0].transaction()
    await backup.start()
    await others[0].fetchval("select count(*) from events")
    await others[1].execute(_WRITE, "meanwhile")

    dropped = [await keep_partitions(world.db, timedelta(days=1))]
    await number_all(world.db)
    told = await _numbered(world)
    await backup.commit()
    dropped.append(await keep_partitions(world.db, timedelta(days=1)))

    assert dropped == [0, 1]
    assert [name for _, name in told] == ["meanwhile"]


async def test_what_many_write_at_once_is_numbered_in_few_batches(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is a durable commit: however often it is woken, the numbering rests between two."""
    batches = 0
    has_numbered = asyncio.Event()

    async def count_batches(db: Connection) -> int | None:
        nonlocal batches
        batches += 1
        moved = await number(db)
        has_numbered.set()
        return moved

    monkeypatch.setattr(numbering, "number", count_batches)
    monkeypatch.setattr(numbering, "_SECONDS_TO_GATHER", 0)
    monkeypatch.setattr(numbering, "_SECONDS_TO_REST", 3600)
    pool = await open_pool(database_url, size=1)
    running = EventNumbering(pool, timedelta(days=30))
    await world.db.execute(_WRITE, "first")
    await running.start()
    running.wake()
    await has_numbered.wait()

    for _ in range(10):
        await world.db.execute(_WRITE, "later")
        running.wake()

    await running.stop()
    await pool.close()
    assert batches == 1
    assert [name for _, name in await _numbered(world)] == ["first"]


@pytest.mark.parametrize(
    "failure", [asyncpg.InternalClientError("a connection is torn down"), ConnectionResetError(), TimeoutError()]
)
async def test_numbering_outlives_a_database_that_goes_away(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    failed = asyncio.Event()

    async def number_at_second_try(db: Connection) -> int | None:
        if not failed.is_set():
            failed.set()
            raise failure
        return await number(db)

    monkeypatch.setattr(numbering, "number", number_at_second_try)
    monkeypatch.setattr(numbering, "_SECONDS_TO_RECOVER", 0)
    pool = await open_pool(database_url, size=1)
    running = EventNumbering(pool, timedelta(days=30))
    await world.db.execute(_WRITE, "later")
    await running.start()
    running.wake()

    async def are_numbered() -> list[tuple[int, str]]:
        running.wake()
        return await _numbered(world)

    await until(are_numbered)
    await running.stop()
    await pool.close()

    assert [name for _, name in await _numbered(world)] == ["later"]
