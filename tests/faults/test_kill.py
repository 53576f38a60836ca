# SPDX-License-Identifier: Apache-2.0
"""`kill -9`, for real and many times: what was answered 2xx is there, byte for byte, and nothing else is visible."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import asyncpg
import httpx
import psutil
import pytest

from tests.faults.load import Answered, content_of, is_junit, report
from tests.server_process import Running, free_port, start, stop, told_by
from tests.signing import SignedBy
from tests.waiting import PATIENCE, until

Victim = Literal["server", "postmaster", "backend", "worker", "everything"]

ROUNDS: list[tuple[Victim, int]] = [
    ("server", 1),
    ("everything", 1),
    ("postmaster", 1),
    ("backend", 1),
    ("server", 2),
    ("worker", 2),
    ("everything", 2),
]
_FILES_BEFORE = (5, 60)


class House:
    """One data directory, and the servers that live in it one after the other."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.running: Running | None = None
        self.workers = 0
        self.answered = Answered()

    def opens(self, workers: int) -> Running:
        """At the first try. Nothing is packed, however long it takes: the store holds what is too big for a row."""
        self.running = start(self.data, self.port, DCI_WORKERS=str(workers), DCI_PACK_AFTER_SECONDS="0")
        self.workers = workers
        return self.running

    def has_open(self, workers: int) -> Running:
        """The one that runs, if it has as many workers."""
        if self.running is not None and self.running.process.poll() is None:
            if self.workers == workers:
                return self.running
            assert stop(self.running) in (0, 130)
        return self.opens(workers)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "data")
    yield house
    if house.running is not None:
        stop(house.running)


@pytest.mark.timeout(600)
async def test_what_was_answered_survives_a_kill_and_nothing_else_is_seen(house: House) -> None:
    for number, (victim, workers) in enumerate(ROUNDS):
        await survive(house, f"r{number}", victim, workers)
    await nothing_of_earlier_rounds_is_missing(house)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_forty_kills(house: House) -> None:
    for number in range(40):
        workers = random.choice([1, 2, 3])
        victim: Victim = random.choice(
            ["server", "postmaster", "backend", "everything", "worker" if workers > 1 else "server"]
        )
        await survive(house, f"r{number}", victim, workers)
    await nothing_of_earlier_rounds_is_missing(house)


async def survive(house: House, name: str, victim: Victim, workers: int) -> None:
    """Load, kill in the middle of it, start again, look at everything."""
    running = house.has_open(workers)
    answered, processes = await reported_until_killed(running, name, victim)
    if victim in ("worker", "backend"):
        async with laboratory(running) as lab:
            await everything_is_there(lab, name, answered)
        assert stop(running) in (0, 130)
    elif victim == "postmaster":
        assert running.process.wait(60) not in (0, None)
        assert "PostgreSQL died" in running.log()
    else:
        running.process.wait(60)

    running = house.opens(workers)
    async with laboratory(running) as lab:
        await everything_is_there(lab, name, answered)
    await store_holds_what_rows_refer_to(running)
    await only_results_have_cases(running)
    assert psutil.wait_procs(processes, timeout=PATIENCE)[1] == []
    house.answered.jobs |= answered.jobs
    house.answered.jobstates |= answered.jobstates
    house.answered.files |= answered.files


def laboratory(running: Running) -> httpx.AsyncClient:
    rc = running.rc("demo")
    return httpx.AsyncClient(
        base_url=f"{running.url}/api/v1",
        auth=SignedBy(rc["DCI_CLIENT_ID"], rc["DCI_API_SECRET"]),
        timeout=60,
    )


async def reported_until_killed(running: Running, name: str, victim: Victim) -> tuple[Answered, list[psutil.Process]]:
    async with laboratory(running) as lab:
        topic = (await lab.get("/topics", params={"where": "name:RHEL-9.6"})).json()["topics"][0]["id"]
        listed = (await lab.get(f"/topics/{topic}/components")).json()["components"]
        components = sorted(component["id"] for component in listed)
        assert len(components) == 2
        answered, over = Answered(), asyncio.Event()
        reporting = asyncio.create_task(report(lab, name, components, topic, answered, over))
        await some_files(answered, random.randint(*_FILES_BEFORE))
        await asyncio.sleep(random.uniform(0, 0.2))
        processes = running.processes()
        workers = running.workers()
        kill(processes, workers, victim)
        if victim == "worker":
            # Requests of that worker were cut; the laboratories go on with the others.
            await replaced(running, workers)
        if victim == "backend":
            # PostgreSQL ends all the others too, recovers, and takes connections again; the laboratories wait for nothing.
            await some_files(answered, len(answered.files) + 10)
        over.set()
        await reporting
        return answered, processes


async def test_a_kill_in_the_middle_of_a_report_leaves_no_case_behind(house: House) -> None:
    running = house.opens(1)
    async with laboratory(running) as lab:
        topic = (await lab.get("/topics", params={"where": "name:RHEL-9.6"})).json()["topics"][0]["id"]
        job = (await lab.post("/jobs/schedule", json={"topic_id": topic})).json()["job"]["id"]
        headers = {"DCI-NAME": "junit", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
        report = b"<testsuite>%b</testsuite>" % b"".join(b'<testcase name="%d"/>' % n for n in range(10_000))
        db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
        # Cases are there before their file is, which waits for us.
        await db.execute("begin")
        await db.execute("lock table files in share mode")
        sending = asyncio.create_task(lab.post("/files", content=report, headers=headers))
        await until(lambda: db.fetchval("select exists (select from cases)"))
        assert not sending.done()
        kill(running.processes(), running.workers(), "everything")
        with suppress(httpx.TransportError):
            await sending
        db.terminate()
    running.process.wait(60)

    running = house.opens(1)
    async with laboratory(running) as lab:
        assert (await lab.get(f"/jobs/{job}/files")).json()["files"] == []
        assert (await lab.get(f"/jobs/{job}/results")).json()["results"] == []
    await only_results_have_cases(running)
    db = await asyncpg.connect(running.database_url())
    assert await db.fetchval("select count(*) from cases") == 0
    await db.close()


async def only_results_have_cases(running: Running) -> None:
    """After one pass of the upkeep, which a starting server makes by itself."""
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    try:
        async with asyncio.timeout(60):
            while await db.fetchval("select count(*) from cases_to_remove"):
                await asyncio.sleep(0.1)
        differing = await db.fetch(
            """select number, coalesce(results.total, 0) as told, coalesce(counted.rows, 0) as there
               from (select number, total from tests_results where number is not null) as results
               full join (select number, count(*) as rows from cases group by number) as counted using (number)
               where coalesce(results.total, 0) <> coalesce(counted.rows, 0)"""
        )
    finally:
        await db.close()
    assert differing == []


async def some_files(answered: Answered, number: int) -> None:
    async with asyncio.timeout(120):
        while len(answered.files) < number:
            await asyncio.sleep(0.01)


def kill(processes: list[psutil.Process], workers: list[psutil.Process], victim: Victim) -> None:
    server, *others = processes
    if victim == "server":
        doomed = [server]
    elif victim == "postmaster":
        told = told_by(others, lambda process: process.name() == "postgres" and process.ppid() == server.pid)
        doomed = [process for process, is_postmaster in told if is_postmaster]
    elif victim == "backend":
        told = told_by(others, lambda process: "[local]" in " ".join(process.cmdline()))
        doomed = [process for process, is_backend in told if is_backend][:1]
    elif victim == "worker":
        doomed = workers[:1]
    else:
        doomed = processes
    for process in doomed:
        # Some of them end by themselves when the first is gone.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert doomed


async def replaced(running: Running, before: list[psutil.Process]) -> None:
    """The parent has started another worker in place of the dead one."""
    async with asyncio.timeout(60):
        while True:
            if [worker for worker in running.workers() if worker not in before]:
                return
            await asyncio.sleep(0.1)


async def everything_is_there(lab: httpx.AsyncClient, name: str, answered: Answered) -> None:
    """Each job of this round has all its components, each file all its bytes; and all that was answered is among them."""
    jobs = await jobs_of(lab, name)
    assert answered.jobs <= {job["id"] for job in jobs}
    found = Answered()
    gate = asyncio.Semaphore(8)

    async def look_at(job: dict[str, Any]) -> None:
        async with gate:
            assert len(job["components"]) == 2, job
            states = (await lab.get(f"/jobs/{job['id']}/jobstates", params={"limit": 200, "offset": 0})).json()
            found.jobstates.update(state["id"] for state in states["jobstates"])
            files = (await lab.get(f"/jobs/{job['id']}/files", params={"limit": 200, "offset": 0})).json()["files"]
            results = {result["file_id"]: result for result in job["results"]}
            assert set(results) == {file["id"] for file in files if is_junit(file["name"])}
            for file in files:
                content = await lab.get(f"/files/{file['id']}/content")
                assert (content.status_code, content.content) == (200, content_of(file["name"])), file
                if file["id"] in results:
                    assert results[file["id"]]["total"] == int(file["name"].rpartition(".")[2])
                found.files.add(file["id"])

    await asyncio.gather(*(look_at(job) for job in jobs))
    assert answered.jobstates <= found.jobstates
    assert answered.files <= found.files
    assert [refusal for refusal in answered.refused if " 503 " not in refusal] == []


async def jobs_of(lab: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    while True:
        parameters = {"where": f"name:{name}.*", "limit": 100, "offset": len(jobs), "sort": "created_at"}
        page = (await lab.get("/jobs", params=parameters)).json()
        jobs += page["jobs"]
        if not page["jobs"]:
            assert len(jobs) == page["_meta"]["count"]
            return jobs


async def store_holds_what_rows_refer_to(running: Running) -> None:
    """After one pass over what waits to be removed, which a starting server makes by itself."""
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    try:
        async with asyncio.timeout(PATIENCE):
            while await db.fetchval("select count(*) from objects_to_remove"):
                await asyncio.sleep(0.1)
        rows = await db.fetch(
            """select file_key(team_id, job_id, id) as key, size from files
               where not exists (select from files_contents where file_id = files.id)"""
        )
    finally:
        await db.close()
    root = running.data / "files"
    stored = {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    assert stored == {row["key"]: row["size"] for row in rows}


async def nothing_of_earlier_rounds_is_missing(house: House) -> None:
    running = house.has_open(house.workers)
    db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.database_url())
    try:
        for table, ids in (
            ("jobs", house.answered.jobs),
            ("jobstates", house.answered.jobstates),
            ("files", house.answered.files),
        ):
            there = await db.fetchval(f"select count(*) from {table} where id = any($1::uuid[])", list(ids))
            assert there == len(ids) > 0
    finally:
        await db.close()
