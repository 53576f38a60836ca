# SPDX-License-Identifier: Apache-2.0
"""`kill -9` of a server whose files are in a bucket: while it takes uploads, while it packs, while it purges.

What happens on a directory is in `test_kill.py`, `test_packing.py` and `test_purge.py`.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import count_unreferenced, count_waiting, remove_due
from tests.faults.test_kill import everything_is_there, laboratory, reported_until_killed
from tests.faults.test_purge import AT_ONCE, nobody_gives_up
from tests.s3 import S3
from tests.server_process import Running, free_port, start, stop
from tests.waiting import until_it_holds

BIG = b"x" * 70_000
SMALL = [b"%d " % number * 500 for number in range(12)]


class House:
    """One data directory and one place in the bucket, and the servers that use them one after the other."""

    def __init__(self, data: Path, s3: S3) -> None:
        self._data, self._s3, self._prefix, self._port = data, s3, uuid4().hex, free_port()
        self.store_url = s3.url(self._prefix)

    def opens(self, **settings: str) -> Running:
        return start(self._data, self._port, DCI_STORE_URL=self.store_url, **self._s3.credentials, **settings)

    def keys(self, below: str) -> list[str]:
        return [key for key in self._s3.keys(self._prefix) if key.startswith(f"{below}/")]

    async def orphans(self, running: Running) -> tuple[int, int]:
        """After a pass over what waits to be removed: a server that starts has made all of it due."""
        db, store = await open_pool(running.database_url(), size=1), open_store(self.store_url)
        try:
            await remove_due(db, store)
            return (await count_unreferenced(db, store, 100_000)).objects, await count_waiting(db)
        finally:
            await db.close()


@pytest.fixture
def house(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> House:
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    return House(tmp_path / "data", s3)


def killed(running: Running) -> None:
    running.process.kill()
    running.process.wait(60)


async def uploaded(lab: httpx.AsyncClient, job: str, content: bytes) -> str:
    answer = await lab.post("/files", content=content, headers={"DCI-NAME": "x", "DCI-JOB-ID": job})
    return answer.json()["file"]["id"]


async def new_job(lab: httpx.AsyncClient) -> str:
    topic = (await lab.get("/topics", params={"where": "name:RHEL-9.6"})).json()["topics"][0]["id"]
    return (await lab.post("/jobs/schedule", json={"topic_id": topic})).json()["job"]["id"]


@pytest.mark.timeout(600)
async def test_what_was_answered_survives_and_no_object_is_left_over(house: House) -> None:
    running = house.opens(DCI_PACK_AFTER_SECONDS="0")
    answered, _ = await reported_until_killed(running, "r0", "server")
    running.process.wait(60)

    # A server packs when it begins, and then once a minute.
    running = house.opens(DCI_PACK_AFTER_SECONDS="0")
    async with laboratory(running) as lab:
        await everything_is_there(lab, "r0", answered)
        assert await house.orphans(running) == (0, 0)
        job = await new_job(lab)
        small = [await uploaded(lab, job, content) for content in SMALL]
        await lab.post("/jobstates", json={"job_id": job, "status": "success"})
    before = len(house.keys("packs"))
    killed(running)

    running = house.opens(DCI_PACK_AFTER_SECONDS="1")
    async with asyncio.timeout(120):
        while len(house.keys("packs")) == before:
            await asyncio.sleep(0)
    killed(running)

    running = house.opens(DCI_PACK_AFTER_SECONDS="0")
    await everything_can_be_packed(running)
    killed(running)

    running = house.opens(DCI_PACK_AFTER_SECONDS="1")
    async with laboratory(running) as lab:
        contents = [(await lab.get(f"/files/{file_id}/content")).content for file_id in small]
        assert contents == SMALL
        await everything_is_there(lab, "r0", answered)
        await everything_is_packed(running)
        assert await house.orphans(running) == (0, 0)
        big = [await uploaded(lab, job, BIG) for _ in range(120)]
        for file_id in big[10:]:
            await lab.delete(f"/files/{file_id}")
        before = len(house.keys("files"))
        async with nobody_gives_up(running, sorted(big[10:])[AT_ONCE + 10]):
            purging = asyncio.create_task(purge(running))
            await until_it_holds(lambda: len(house.keys("files")) == before - 2 * AT_ONCE)
            killed(running)
            assert await purging is None

    running = house.opens(DCI_PACK_AFTER_SECONDS="0")
    assert await house.orphans(running) == (0, 0)
    assert await purge(running) == 204
    assert len(house.keys("files")) == before - 110
    async with laboratory(running) as lab:
        kept = [(await lab.get(f"/files/{file_id}/content")).content for file_id in big[:10]]
        assert kept == [BIG] * 10
        await everything_is_there(lab, "r0", answered)
    assert stop(running) in (0, 130)


async def everything_can_be_packed(running: Running) -> None:
    """At once, without waiting until the time of whoever was killed has run out."""
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    await db.execute("update jobs_to_pack set packed_until = null")
    await db.close()


async def everything_is_packed(running: Running) -> None:
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    try:
        async with asyncio.timeout(120):
            while await db.fetchval("select count(*) from jobs_to_pack"):
                await asyncio.sleep(0.1)
    finally:
        await db.close()


async def purge(running: Running) -> int | None:
    """The status; None when nobody answered."""
    rc = running.rc("admin")
    with suppress(httpx.TransportError):
        async with httpx.AsyncClient(auth=(rc["DCI_LOGIN"], rc["DCI_PASSWORD"]), timeout=120) as admin:
            return (await admin.post(f"{running.url}/api/v1/files/purge")).status_code
    return None
