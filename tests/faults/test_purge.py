# SPDX-License-Identifier: Apache-2.0
"""A purge that is killed: what it did not finish is whole, and the next one finishes it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import count_unreferenced
from tests.server_process import Running, free_port, start, stop
from tests.waiting import PATIENCE, until_it_holds

FILES = 120
KEPT = 10
AT_ONCE = 50
"""Files of which a purge takes the objects, and then the rows."""
BIG = b"x" * 70_000


def objects(running: Running) -> set[str]:
    return {path.name for path in (running.data / "files" / "files").rglob("*") if path.is_file()}


async def facts(running: Running) -> tuple[int, set[str]]:
    """Objects that no row refers to, and the files that are not archived."""
    pool = await open_pool(running.database_url(), size=1)
    try:
        strays = await count_unreferenced(pool, open_store(str(running.data / "files")), 10_000)
        rows: list[asyncpg.Record] = await pool.fetch("select id from files where state <> 'archived'")
        return strays.objects, {str(row["id"]) for row in rows}
    finally:
        await pool.close()


@asynccontextmanager
async def nobody_gives_up(running: Running, file_id: str) -> AsyncGenerator[None]:
    """A purge stops at the row of this file, when it has removed its object."""
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    await db.execute("begin")
    await db.execute(
        "insert into objects_to_remove select file_key(team_id, job_id, id), 'infinity' from files where id = $1::uuid",
        file_id,
    )
    try:
        yield
    finally:
        db.terminate()


@pytest.mark.timeout(300)
async def test_a_killed_purge_is_finished_by_the_next(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    running = start(data, port)
    with running.signed() as lab:
        topic = lab.get("/topics").json()["topics"][0]["id"]
        job = lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]
        headers = {"DCI-NAME": "f", "DCI-JOB-ID": job}
        ids = [lab.post("/files", content=BIG, headers=headers).json()["file"]["id"] for _ in range(FILES)]
        for file_id in ids[KEPT:]:
            lab.delete(f"/files/{file_id}")
    kept = set(ids[:KEPT])

    async with nobody_gives_up(running, sorted(ids[KEPT:])[AT_ONCE + 10]):
        purging = asyncio.create_task(asyncio.to_thread(purge, running))
        await until_it_holds(lambda: len(objects(running)) == FILES - 2 * AT_ONCE)
        running.process.kill()
        answer = await purging
    running.process.wait(PATIENCE)

    running = start(data, port)
    strays, active = await facts(running)
    again = purge(running)

    assert answer is None
    assert (strays, active) == (0, kept)
    assert again is not None
    assert (again.status_code, again.headers["x-dci-purged-rows"]) == (204, str(FILES - KEPT - AT_ONCE))
    assert objects(running) == kept
    with running.signed() as lab:
        assert all(lab.get(f"/files/{file_id}/content").content == BIG for file_id in kept)
    assert stop(running) in (0, 130)


def purge(running: Running) -> httpx.Response | None:
    """None when nobody answered."""
    rc = running.rc("admin")
    try:
        return httpx.post(f"{running.url}/api/v1/files/purge", auth=(rc["DCI_LOGIN"], rc["DCI_PASSWORD"]), timeout=60)
    except httpx.TransportError:
        return None
