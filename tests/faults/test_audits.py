# SPDX-License-Identifier: Apache-2.0
"""`kill -9` right after an answer: what was answered is in the audits, once."""

import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from tests.server_process import Running, free_port, provision, start, stop
from tests.test_workers import Connections, lab_of
from tests.waiting import PATIENCE

DONE, REFUSED, UNREADABLE = ("/api/v1/jobs/schedule", 201), ("/api/v1/users", 401), ("", 400)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[Running]:
    running = start(tmp_path / "data", free_port(), DCI_WORKERS="2")
    yield running
    assert stop(running) == 0


@asynccontextmanager
async def nothing_written_down(running: Running) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """Whatever the server answers now is not in the database: nobody can write to the table."""
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    transaction = db.transaction()
    await transaction.start()
    await db.execute("lock table audits in exclusive mode")
    try:
        yield db
    finally:
        db.terminate()


def schedule_and_be_refused(lab: httpx.Client) -> None:
    topic = lab.get("/api/v1/topics").json()["topics"][0]["id"]
    assert lab.post("/api/v1/jobs/schedule", json={"topic_id": topic}).status_code == 201
    assert lab.get("/api/v1/users").status_code == 401


def send_no_request(running: Running) -> None:
    address = httpx.URL(running.url)
    with socket.create_connection((address.host, address.port or 0), timeout=PATIENCE) as connection:
        connection.sendall(b"what is this\r\n\r\n")
        assert b"400 Bad Request" in connection.recv(65536)


def told(running: Running) -> Counter[tuple[str, int]]:
    rc = running.rc("admin")
    url = f"{running.url}/api/v1/audits"
    response = httpx.get(url, auth=(rc["DCI_LOGIN"], rc["DCI_PASSWORD"]), timeout=PATIENCE)
    assert response.status_code == 200, response.text
    audits: list[dict[str, Any]] = response.json()["audits"]
    return Counter((audit["path"], audit["status"]) for audit in audits)


@pytest.mark.timeout(300)
async def test_what_a_killed_server_had_answered_is_written_down_by_the_next(tmp_path: Path) -> None:
    running = start(tmp_path / "data", free_port())
    with httpx.Client(base_url=running.url, auth=lab_of(running), timeout=PATIENCE) as lab:
        async with nothing_written_down(running) as db:
            schedule_and_be_refused(lab)
            send_no_request(running)
            assert await db.fetchval("select count(*) from audits") == 0
            running.process.kill()
    running.process.wait(PATIENCE)

    again = start(tmp_path / "data", free_port())
    found = told(again)

    assert found == {DONE: 1, REFUSED: 1, UNREADABLE: 1}
    assert stop(again) in (0, 130)
    assert list((tmp_path / "data" / "audits").iterdir()) == []


@pytest.mark.timeout(300)
async def test_what_a_killed_worker_had_answered_is_written_down_by_another(
    two_workers: Running, opened: ExitStack
) -> None:
    running = two_workers
    by_worker = Connections(running, opened).one_to_each(lab_of(running))
    (victim, lab), _ = by_worker.items()

    async with nothing_written_down(running) as db:
        schedule_and_be_refused(lab)
        assert await db.fetchval("select count(*) from audits") == 0
        psutil.Process(victim).kill()
        psutil.Process(victim).wait(PATIENCE)
    watching: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    end = time.monotonic() + PATIENCE
    while await watching.fetchval("select count(*) from audits") == 0:
        # Nobody has asked for them.
        assert time.monotonic() < end, running.log()
    await watching.close()

    assert told(running) == {DONE: 1, REFUSED: 1}


@pytest.mark.timeout(300)
def test_a_server_that_can_not_write_journals_says_so_once(tmp_path: Path) -> None:
    provision(tmp_path / "data")
    (tmp_path / "data" / "audits").touch()
    running = start(tmp_path / "data", free_port())
    try:
        with httpx.Client(base_url=running.url, auth=lab_of(running), timeout=PATIENCE) as lab:
            schedule_and_be_refused(lab)
            metrics = lab.get("/metrics").text

        assert told(running) == {DONE: 1, REFUSED: 1}
        assert "dci_audits_in_memory_total 2.0" in metrics
        assert running.log().count("audits can't be noted in DCI_DATA_DIR") == 1
    finally:
        stop(running)
