# SPDX-License-Identifier: Apache-2.0
"""A purge that is killed: what it did not finish is whole, and the next one finishes it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import httpx
import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import count_unreferenced
from tests.server_process import Running, command, free_port, start, stop

FILES = 250
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


@pytest.mark.timeout(300)
def test_a_killed_purge_is_finished_by_the_next(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    command(data, "provision", "--demo")
    running = start(data, port)
    with running.signed() as lab:
        topic = lab.get("/topics").json()["topics"][0]["id"]
        job = lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]
        headers = {"DCI-NAME": "f", "DCI-JOB-ID": job}
        ids = [lab.post("/files", content=BIG, headers=headers).json()["file"]["id"] for _ in range(FILES)]
        for file_id in ids[10:]:
            lab.delete(f"/files/{file_id}")
    kept = set(ids[:10])

    def purge() -> httpx.Response | None:
        rc = running.rc("admin")
        try:
            url = f"{running.url}/api/v1/files/purge"
            return httpx.post(url, auth=(rc["DCI_LOGIN"], rc["DCI_PASSWORD"]), timeout=60)
        except httpx.TransportError:
            return None

    with ThreadPoolExecutor() as threads:
        purging = threads.submit(purge)
        while len(objects(running)) == FILES:
            pass
        running.process.kill()
        answer = purging.result()
    running.process.wait(30)
    left = len(objects(running))

    running = start(data, port)
    strays, active = asyncio.run(facts(running))
    again = purge()

    assert answer is None
    assert len(kept) < left < FILES
    assert (strays, active) == (0, kept)
    assert again is not None
    assert again.status_code == 204
    assert int(again.headers["x-dci-purged-rows"]) >= left - len(kept)
    assert objects(running) == kept
    with running.signed() as lab:
        assert all(lab.get(f"/files/{file_id}/content").content == BIG for file_id in kept)
    assert stop(running) in (0, 130)
