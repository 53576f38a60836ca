# SPDX-License-Identifier: Apache-2.0
"""`kill -9` while jobs are packed: every file is there, byte for byte, and the store holds what rows refer to."""

import asyncio
import random
from pathlib import Path

import asyncpg
import httpx
import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import count_unreferenced
from tests.server_process import Running, free_port, start, stop
from tests.signing import SignedBy

JOBS, FILES, KILLS = 40, 15, 4


def content_of(job: int, number: int) -> bytes:
    seed = random.Random(f"{job}.{number}")
    return (seed.randbytes(200).hex() * 20).encode()[: seed.randint(0, 6_000)]


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_whoever_dies_while_packing_loses_nothing(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    running = start(data, port, DCI_PACK_AFTER_SECONDS="0")
    sent = await jobs_that_are_over(running)
    stop(running)

    for _ in range(KILLS):
        # A server begins to pack when it starts.
        running = start(data, port, DCI_PACK_AFTER_SECONDS="1")
        await asyncio.sleep(random.uniform(0, 0.2))
        running.process.kill()
        running.process.wait(60)
        await all_jobs_may_be_packed_at_once(data, port)
    running = start(data, port, DCI_PACK_AFTER_SECONDS="1")
    await everything_is_packed(running)

    async with laboratory(running) as lab:
        for file_id, content in sent.items():
            assert (await lab.get(f"/files/{file_id}/content")).content == content
    await store_holds_what_rows_refer_to(running)
    assert stop(running) in (0, 130)


def laboratory(running: Running) -> httpx.AsyncClient:
    rc = running.rc("demo")
    auth = SignedBy(rc["DCI_CLIENT_ID"], rc["DCI_API_SECRET"])
    return httpx.AsyncClient(base_url=f"{running.url}/api/v1", auth=auth, timeout=60)


async def jobs_that_are_over(running: Running) -> dict[str, bytes]:
    """Every file's id and bytes."""
    sent: dict[str, bytes] = {}
    async with laboratory(running) as lab:
        topic = (await lab.get("/topics", params={"where": "name:RHEL-9.6"})).json()["topics"][0]["id"]
        for number in range(JOBS):
            job = (await lab.post("/jobs/schedule", json={"topic_id": topic})).json()["job"]["id"]
            for each in range(FILES):
                headers = {"DCI-NAME": "task", "DCI-JOB-ID": job}
                response = await lab.post("/files", content=content_of(number, each), headers=headers)
                sent[response.json()["file"]["id"]] = content_of(number, each)
            await lab.post("/jobstates", json={"job_id": job, "status": "success"})
    return sent


async def all_jobs_may_be_packed_at_once(data: Path, port: int) -> None:
    """Without waiting until the time of whoever was killed has run out."""
    running = start(data, port, DCI_PACK_AFTER_SECONDS="0")
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    await db.execute("update jobs_to_pack set packed_until = null")
    await db.close()
    stop(running)


async def everything_is_packed(running: Running) -> None:
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    try:
        async with asyncio.timeout(60):
            while await db.fetchval("select count(*) from jobs_to_pack"):
                await asyncio.sleep(0.1)
        assert await db.fetchval("select count(*) from files_packed") == JOBS * FILES
        assert await db.fetchval("select count(*) from files_contents") == 0
    finally:
        await db.close()


async def store_holds_what_rows_refer_to(running: Running) -> None:
    pool = await open_pool(running.database_url(), size=1)
    try:
        found = await count_unreferenced(pool, open_store(str(running.data / "files")), 10_000)
    finally:
        await pool.close()
    assert (found.looked_at, found.objects, found.is_all) == (JOBS, 0, True)
