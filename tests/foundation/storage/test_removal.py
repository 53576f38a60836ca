# SPDX-License-Identifier: Apache-2.0
"""Rows and objects never part company, whatever happens between the two."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.http import Application
from dci_server.foundation.storage import StoreUnavailable
from dci_server.foundation.storage.removal import announce_object, count_waiting, give_up_object, remove_due
from tests.conftest import ClientOf, World, started
from tests.waiting import until

BIG = b"x" * 100_000


def stored(tmp_path: Path) -> list[str]:
    """The keys of the objects in the store."""
    root = tmp_path / "files"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def waiting(world: World) -> list[str]:
    rows = await world.db.fetch("select key from objects_to_remove where not_before <= utc_now() order by key")
    return [row["key"] for row in rows]


async def upload(client_of: ClientOf, job: str, content: bytes | AsyncIterator[bytes] = BIG) -> Any:
    return await client_of("alice").post("/files", content=content, headers={"DCI-NAME": "x", "DCI-JOB-ID": job})


async def test_an_accepted_file_takes_its_announcement_back(client_of: ClientOf, world: World) -> None:
    response = await upload(client_of, await world.job())

    assert response.status_code == 201
    assert await world.count("objects_to_remove") == 0


@pytest.mark.parametrize("table", ["files", "jobs", "teams"])
async def test_the_object_of_a_deleted_row_goes_too(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, table: str
) -> None:
    job = await world.job()
    file = (await upload(client_of, job)).json()["file"]["id"]
    await upload(client_of, job, b"few bytes")
    other = (await upload(client_of, await world.job("red_lab"), BIG)).status_code
    key = f"files/{world.ids['Blue']}/{job}/{file}"
    assert app.services is not None

    deleted = {"files": file, "jobs": job, "teams": world.ids["Blue"]}[table]
    await world.db.execute(f"delete from {table} where id = $1", deleted)

    assert other == 401
    assert await waiting(world) == [key]
    assert await count_waiting(app.services.db) == 1
    assert await remove_due(app.services.db, app.services.store) == 1
    assert stored(tmp_path) == []
    assert await world.count("objects_to_remove") == 0


async def test_the_object_of_a_deleted_component_goes_too(world: World) -> None:
    await world.add("component_files", name="x", size=1, key="components/a/b", component_id=world.ids["compose"])

    await world.db.execute("delete from topics where id = $1", world.ids["RHEL-9.6"])

    assert await waiting(world) == ["components/a/b"]


class Between:
    """The store, and something that happens just after an object was published."""

    def __init__(self, store: Any, happens: Callable[[], Coroutine[None, None, object]]) -> None:
        self._store = store
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def begin(self) -> Any:
        upload, happens = await self._store.begin(), self._happens
        commit = upload.commit

        async def commit_and_more(key: str, disposition: str | None = None) -> None:
            await commit(key, disposition)
            await happens()

        upload.commit = commit_and_more
        return upload


@pytest.mark.parametrize(
    ("happens", "status"),
    [
        ("delete from objects_to_remove", 503),
        ("update objects_to_remove set not_before = utc_now()", 503),
        ("delete from jobs", 404),
    ],
)
async def test_an_object_that_gets_no_row_is_removed(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, happens: str, status: int
) -> None:
    assert app.services is not None
    app.services.store = cast(Any, Between(app.services.store, lambda: world.db.execute(happens)))
    job = await world.job()

    response = await upload(client_of, job)

    assert response.status_code == status
    assert await world.count("files") == 0
    assert await waiting(world) == stored(tmp_path) != []
    await remove_due(app.services.db, app.services.store)
    assert stored(tmp_path) == []


async def test_an_upload_whose_process_dies_before_its_row_is_announced(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    async def die() -> None:
        raise Killed

    assert app.services is not None
    app.services.store = cast(Any, Between(app.services.store, die))
    with pytest.raises(Killed):
        await upload(client_of, await world.job())

    keys = [row["key"] for row in await world.db.fetch("select key from objects_to_remove")]
    assert len(keys) == 1
    assert await waiting(world) == []


async def test_an_object_may_be_announced_and_given_up(app: Application, world: World, tmp_path: Path) -> None:
    assert app.services is not None
    db, store = app.services.db, app.services.store
    await announce_object(db, "components/a/b")
    begun = await store.begin()
    await begun.write(BIG)
    await begun.commit("components/a/b")

    kept = await remove_due(db, store)
    await give_up_object(db, "components/a/b")
    removed = await remove_due(db, store)

    assert (kept, removed, stored(tmp_path)) == (0, 1, [])


async def test_what_the_store_refuses_now_is_removed_later(app: Application, world: World, tmp_path: Path) -> None:
    assert app.services is not None
    db, store, root = app.services.db, app.services.store, tmp_path / "files"
    for number in range(120):
        path = root / "files" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        await give_up_object(db, f"files/{number}")
    # Whoever follows this link goes round in circles: the store does not work.
    root.rename(tmp_path / "elsewhere")
    root.symlink_to(root)

    with pytest.raises(StoreUnavailable):
        await remove_due(db, store)

    assert len(await waiting(world)) == 120
    root.unlink()
    (tmp_path / "elsewhere").rename(root)
    assert await remove_due(db, store) == 120
    assert stored(tmp_path) == []


async def test_two_processes_share_the_work(app: Application, world: World, database_url: str) -> None:
    assert app.services is not None
    store = app.services.store
    await world.db.execute(
        "insert into objects_to_remove select 'files/' || n, utc_now() from generate_series(1, 300) as n"
    )
    other = await open_pool(database_url, size=1)

    counts = await asyncio.gather(remove_due(app.services.db, store), remove_due(other, store))

    await other.close()
    assert sum(counts) == 300
    assert await world.count("objects_to_remove") == 0


async def test_a_server_process_removes_what_is_due_by_itself(
    world: World, database_url: str, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "files" / "files" / "left"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    await world.db.execute("insert into objects_to_remove values ('files/left', utc_now())")

    async def is_gone() -> bool:
        return not path.exists() and not await waiting(world)

    async with started(database_url, key, tmp_path):
        await until(is_gone)

    assert stored(tmp_path) == []
