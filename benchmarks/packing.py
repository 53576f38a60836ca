# SPDX-License-Identifier: Apache-2.0
"""What packing a job's small files gives back, and what it costs who reads them: `python -m benchmarks.packing`."""

import argparse
import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass
from typing import LiteralString
from uuid import uuid4

from benchmarks.load import Address, Connection, Laboratory, Load, Payload, put_load
from benchmarks.processes import CpuSeconds, Processes
from benchmarks.report import percentile
from benchmarks.scenarios import find_topic
from benchmarks.server import OwnServer, own_server
from benchmarks.signing import Signer
from dci_server.features.packs.actions import pack_next_job
from dci_server.foundation.database.connection import Connection as Database
from dci_server.foundation.database.connection import Record, fetch_row, fetch_rows, open_pool
from dci_server.foundation.storage import open_store

_TOPIC = "RHEL-9.6"
_CONNECTIONS = 4


@dataclass(frozen=True)
class Reads:
    """Of one file each."""

    load: Load
    before: CpuSeconds
    after: CpuSeconds

    def __str__(self) -> str:
        ordered = sorted(self.load.latencies)
        reads = len(ordered)
        server = (self.after.server or 0) - (self.before.server or 0)
        postgres = (self.after.postgres or 0) - (self.before.postgres or 0)
        return (
            f"p50 {percentile(ordered, 50) * 1e3:.2f} ms, p95 {percentile(ordered, 95) * 1e3:.2f} ms, "
            f"server CPU {server / reads * 1e6:.0f} µs, PostgreSQL CPU {postgres / reads * 1e6:.0f} µs"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--files", type=int, default=500, help="task logs of each job")
    parser.add_argument("--reads", type=int, default=4000)
    options = parser.parse_args()
    os.environ["DCI_PACK_AFTER_SECONDS"] = "0"
    with own_server(1) as server:
        asyncio.run(_measure(server, options.jobs, options.files, options.reads))


async def _measure(server: OwnServer, jobs: int, files: int, reads: int) -> None:
    address = Address.of(server.base_url)
    signer = Signer(server.client_id, server.api_secret, address.netloc)
    laboratories = [Laboratory(Connection(address, signer), _TOPIC) for _ in range(_CONNECTIONS)]
    for laboratory in laboratories:
        await laboratory.connection.open()
        await find_topic(laboratory)
    processes = Processes(server.pid, None)
    db, store = await open_pool(server.database_url), open_store(str(server.data / "files"))
    for number in range(jobs):
        await _run_job(laboratories[number % _CONNECTIONS], files, random.Random(number))
    kept = await _row(db, "select count(*) as files, sum(size) as content from files")
    inline = await _row(
        db,
        "select sum(octet_length(bytes)) as bytes, pg_total_relation_size('files_contents') as all_bytes from files_contents",
    )
    _tell(
        f"{jobs} jobs, {kept['files'] / jobs:.0f} small files each, {kept['content'] / jobs / 1024:.0f} KiB of content"
    )
    _tell(
        f"in their rows, per job: {inline['bytes'] / jobs / 1024:.0f} KiB, with table and index {inline['all_bytes'] / jobs / 1024:.0f} KiB"
    )
    _tell(f"read from rows: {await _read(db, laboratories, processes, reads)}")

    cpu, begin, postgres = time.process_time(), time.perf_counter(), processes.cpu_seconds().postgres or 0
    while await pack_next_job(db, store, 0):
        pass
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    postgres = (processes.cpu_seconds().postgres or 0) - postgres
    _tell(
        f"packing, per job: {seconds / jobs * 1e3:.0f} ms, CPU {cpu / jobs * 1e3:.0f} ms, PostgreSQL {postgres / jobs * 1e3:.0f} ms"
    )
    packed = await _row(
        db,
        "select count(*) as packs, sum(size) as bytes, pg_total_relation_size('files_packed') as all_bytes from packs",
    )
    _tell(
        f"packed, per job: {packed['packs'] / jobs:.1f} objects, {packed['bytes'] / jobs / 1024:.0f} KiB, "
        f"index in the database {packed['all_bytes'] / jobs / 1024:.0f} KiB"
    )
    _tell(f"read from packs: {await _read(db, laboratories, processes, reads)}")
    for laboratory in laboratories:
        await laboratory.connection.close()
    await db.close()


async def _row(db: Database, sql: LiteralString) -> Record:
    row = await fetch_row(db, sql)
    assert row is not None
    return row


async def _run_job(laboratory: Laboratory, files: int, choice: random.Random) -> None:
    answer = await laboratory.post("/jobs/schedule", {"topic_id": laboratory.topic_id})
    laboratory.job_id = answer["job"]["id"]
    for number in range(files):
        await laboratory.upload(f"task-{number}", Payload.of(_task_log(choice)))
    await laboratory.post("/jobstates", {"job_id": laboratory.job_id, "status": "success"})


def _task_log(choice: random.Random) -> bytes:
    """Like the output of an Ansible task: most are short, some long; hosts and paths repeat, hashes do not."""
    size = min(int(choice.lognormvariate(6.5, 1.5)), 60_000)
    lines: list[str] = []
    length = 0
    while length < size:
        host = f"node-{choice.randint(1, 6)}.lab.example.org"
        checksum = choice.randbytes(20).hex()
        line = choice.choice([
            f'ok: [{host}] => {{"changed": false, "gid": 0, "mode": "0644", "owner": "root", "size": {choice.randint(1, 99999)}}}',
            f'changed: [{host}] => {{"changed": true, "checksum": "{checksum}", "dest": "/etc/service-{choice.randint(1, 40)}.conf"}}',
            f"skipping: [{host}] => {{\"changed\": false, \"skip_reason\": \"Conditional result was False\"}}",
            f"2026-11-27T0{choice.randint(0, 9)}:{choice.randint(10, 59)}:{choice.randint(10, 59)}Z {host} systemd[1]: Started unit {uuid4()}.",
        ])  # fmt: skip
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines).encode()[:size]


async def _read(db: Database, laboratories: list[Laboratory], processes: Processes, reads: int) -> Reads:
    ids = [str(row["id"]) for row in await fetch_rows(db, "select id from files")]
    choice = random.Random(1)

    async def read(laboratory: Laboratory) -> None:
        await laboratory.connection.send("GET", f"/api/v1/files/{choice.choice(ids)}/content")

    await put_load(read, laboratories, 60, 200)
    before = processes.cpu_seconds()
    load = await put_load(read, laboratories, 60, reads)
    return Reads(load, before, processes.cpu_seconds())


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
