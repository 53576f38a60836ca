# SPDX-License-Identifier: Apache-2.0
"""The database is restarted at once, in the middle of uploads: nothing acknowledged is lost, the server goes on."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.database.embedded import EmbeddedPostgres
from dci_server.foundation.storage import open_store
from dci_server.foundation.storage.removal import count_unreferenced, count_waiting, give_up_all_objects, remove_due
from tests.faults.load import Answered, report
from tests.faults.test_kill import everything_is_there, laboratory
from tests.s3 import S3
from tests.server_process import BIN, Running, environment, free_port, start, stop

RESTARTS = 2
KINDS = {"small", "edge", "big", "junit", "suite"}


@dataclass
class Hub:
    """A server, and a database that is not its own."""

    running: Running
    database: EmbeddedPostgres
    store_url: str

    def stop_database_at_once(self) -> None:
        """Immediate mode: sessions are cut, nothing is written any more; what was committed comes back from the log."""
        (pid_file,) = self.database.directory.glob("cluster-*/postmaster.pid")
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)

    def start_database_again(self) -> None:
        self.database.stop()
        self.database.start()

    async def orphans(self) -> tuple[int, int]:
        """After the sweep of a server that has just started: objects without a row, and those that wait."""
        db, store = await open_pool(self.database.url, size=1), open_store(self.store_url)
        try:
            await give_up_all_objects(db)
            await remove_due(db, store)
            return (await count_unreferenced(db, store, 100_000)).objects, await count_waiting(db)
        finally:
            await db.close()


@pytest.fixture(params=["directory", "bucket"])
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    data, store_url = tmp_path / "data", str(tmp_path / "store")
    if request.param == "bucket":
        s3: S3 = request.getfixturevalue("s3")
        store_url = s3.url(uuid4().hex)
        for name, value in s3.credentials.items():
            monkeypatch.setenv(name, value)
    # A short path: the socket stays where it is when the database comes back.
    with tempfile.TemporaryDirectory(prefix="dci-db-") as place, EmbeddedPostgres(Path(place) / "d") as database:
        settings = {"DATABASE_URL": database.url, "DCI_STORE_URL": store_url}
        made = subprocess.run(
            [BIN / "dci-server", "provision", "--demo"], env={**environment(data, 0), **settings},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        running = start(data, free_port(), **settings)
        yield Hub(running, database, store_url)
        stop(running)


async def test_a_database_that_is_restarted_during_uploads_loses_none_that_was_answered(hub: Hub) -> None:
    answered, over = Answered(), asyncio.Event()
    async with laboratory(hub.running) as lab:
        topic = (await lab.get("/topics", params={"where": "name:RHEL-9.6"})).json()["topics"][0]["id"]
        listed = (await lab.get(f"/topics/{topic}/components")).json()["components"]
        components = sorted(component["id"] for component in listed)
        reporting = asyncio.create_task(report(lab, "r", components, topic, answered, over))
        for _ in range(RESTARTS):
            await more(answered.files, 40)
            hub.stop_database_at_once()
            await more(answered.refused, 3)
            # From this thread, which the database would end with; the laboratories wait meanwhile.
            hub.start_database_again()
        await more(answered.files, 20)
        over.set()
        await reporting

        await everything_is_there(lab, "r", answered)
        assert await hub.orphans() == (0, 0)
        assert await kinds_that_were_sent(lab, answered) == KINDS


async def more(collected: Sized, number: int) -> None:
    enough = len(collected) + number
    async with asyncio.timeout(120):
        while len(collected) < enough:
            await asyncio.sleep(0.01)


async def kinds_that_were_sent(lab: httpx.AsyncClient, answered: Answered) -> set[str]:
    kinds: set[str] = set()
    for job in sorted(answered.jobs):
        files = (await lab.get(f"/jobs/{job}/files", params={"limit": 200, "offset": 0})).json()["files"]
        kinds.update(file["name"].partition(".")[0] for file in files)
    return kinds
