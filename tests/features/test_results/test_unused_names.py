# SPDX-License-Identifier: Apache-2.0
"""The dictionary of names loses what no case has, and never what a report has just looked up."""

import asyncio

import asyncpg
import pytest

from dci_server.features.test_results.unused_names import (
    count_unused_names,
    note_unused_names,
    remove_unused_names,
)
from dci_server.features.test_results.upkeep import remove_due_cases
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.features.test_results.test_rows_of_cases import upload


def report(*names: str) -> bytes:
    return b"<testsuite name='s'>%b</testsuite>" % b"".join(b"<testcase name='%b'/>" % name.encode() for name in names)


class Dictionary:
    def __init__(self, client_of: ClientOf, world: World, db: Connection) -> None:
        self._client_of = client_of
        self._world = world
        self.db = db

    async def upload(self, *names: str) -> str:
        status, file_id = await upload(self._client_of, await self._world.job(), report(*names))
        assert status == 201
        return file_id

    async def purge(self, file_id: str) -> None:
        await self._world.db.execute("delete from files where id = $1::uuid", file_id)
        await remove_due_cases(self.db)

    async def wait_for_half_a_day(self) -> None:
        await self._world.db.execute("update test_names set unused_since = unused_since - interval '13 hours'")

    async def names(self) -> list[str]:
        return [row["name"] for row in await self._world.db.fetch("select name from test_names order by name")]


@pytest.fixture
def dictionary(app: Application, client_of: ClientOf, world: World) -> Dictionary:
    assert app.services is not None
    return Dictionary(client_of, world, app.services.db)


async def test_names_that_no_case_has_are_removed_half_a_day_after_they_were_found(dictionary: Dictionary) -> None:
    await dictionary.upload("a", "b")
    await dictionary.purge(await dictionary.upload("b", "c", "d"))

    await note_unused_names(dictionary.db)
    found = await count_unused_names(dictionary.db)
    await remove_unused_names(dictionary.db)
    at_once = await dictionary.names()
    await dictionary.wait_for_half_a_day()
    await remove_unused_names(dictionary.db)

    assert found == 2
    assert at_once == ["a", "b", "c", "d"]
    assert await dictionary.names() == ["a", "b"]
    assert await count_unused_names(dictionary.db) == 0


async def test_the_walk_looks_at_few_names_at_once_and_begins_anew(dictionary: Dictionary) -> None:
    await dictionary.purge(await dictionary.upload("a", "b", "c", "d", "e"))
    counts: list[tuple[bool, int]] = []

    for _ in range(3):
        goes_on = await note_unused_names(dictionary.db, 2)
        counts.append((goes_on, await count_unused_names(dictionary.db)))
    await dictionary.purge(await dictionary.upload("0"))
    await note_unused_names(dictionary.db, 6)

    assert counts == [(True, 2), (True, 4), (False, 5)]
    assert await count_unused_names(dictionary.db) == 6


async def test_one_process_walks(dictionary: Dictionary, world: World) -> None:
    await dictionary.purge(await dictionary.upload("a"))

    async with world.db.transaction():
        await world.db.execute("select from test_names_walk for update")
        walked = await note_unused_names(dictionary.db)

    assert not walked
    assert await count_unused_names(dictionary.db) == 0


async def test_a_name_that_comes_again_stays_the_same(dictionary: Dictionary, world: World) -> None:
    await dictionary.purge(await dictionary.upload("a", "b"))
    await note_unused_names(dictionary.db)
    await dictionary.wait_for_half_a_day()
    before = await world.db.fetchval("select id from test_names where name = 'a'")

    await dictionary.upload("a")
    await remove_unused_names(dictionary.db)

    assert await dictionary.names() == ["a"]
    assert await world.db.fetchval("select test_id from cases") == before


async def test_a_name_that_was_looked_up_before_it_was_found_unused_stays(dictionary: Dictionary, world: World) -> None:
    """Its cases came between the two."""
    await dictionary.upload("a")
    await world.db.execute("update test_names set unused_since = utc_now()")
    await dictionary.wait_for_half_a_day()

    await remove_unused_names(dictionary.db)

    assert await dictionary.names() == ["a"]
    assert await count_unused_names(dictionary.db) == 0


async def test_a_name_that_is_just_being_removed_is_added_again(
    dictionary: Dictionary, world: World, database_url: str
) -> None:
    await dictionary.purge(await dictionary.upload("a", "b"))
    await note_unused_names(dictionary.db)
    await dictionary.wait_for_half_a_day()
    remover: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    removal = remover.transaction()
    await removal.start()
    await remove_unused_names(remover)

    uploading = asyncio.create_task(dictionary.upload("a", "b"))
    waiting = "select count(*) from pg_locks where not granted and not fastpath"
    while not uploading.done() and not await remover.fetchval(waiting):
        await asyncio.sleep(0.01)
    await removal.commit()
    await uploading
    await remover.close()

    told = await world.db.fetch("select name from cases join test_names on test_names.id = test_id order by name")
    assert [row["name"] for row in told] == ["a", "b"]
