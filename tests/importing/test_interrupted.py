# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment and run again, an import ends as if nothing had happened."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.databases import ReusedDatabases
from tests.importing.conftest import NewHub, import_words
from tests.importing.old_hub import OldHub

_KILLS = 6
_SMALL_BATCHES = ("--batch-bytes", "1500")
_LEFT_OUT = {
    "alembic_version", "login_failures", "jobs_totals", "client_secrets", "imports", "import_steps",
}  # fmt: skip


@pytest.fixture
async def undisturbed(new_databases: ReusedDatabases, key: str, tmp_path: Path) -> AsyncIterator[NewHub]:
    async with new_databases.lent() as url:
        yield NewHub(url, tmp_path / "undisturbed", key)


async def _fill_more(hub: OldHub) -> None:
    for number in range(60):
        job = await hub.job(f"job {number}", name=f"job {number}", previous_job_id=hub.ids["job"])
        await hub.link("jobs_components", job_id=job, component_id=hub.ids["compose"])
        for key in ("a", "b"):
            for value in range(1 + number % 3):
                await hub.link("jobs_keys_values", job_id=job, key=key, value=float(value))
        state = await hub.add("jobstates", status="running", comment="x" * number, job_id=job)
        for file in range(6):
            await hub.file(f"{number} {file}", f"{number} {file} ".encode() * 40, job_id=job, jobstate_id=state)
        await hub.file(f"{number} big", uuid4().bytes * 5_000, job_id=job)
        await hub.add("logs", user_id=hub.ids["root"], action=f"action {number}")


async def _everything(hub: NewHub) -> dict[str, list[str]]:
    """All rows as text, but for what is new at every run; the objects of the store; who has a secret."""
    tables = await hub.rows(
        "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    found: dict[str, list[str]] = {}
    for (table,) in tables:
        if table not in _LEFT_OUT:
            rows = await hub.rows(f"select t::text from {table} as t")
            found[table] = sorted(_without_stand_in_times(row[0]) for row in rows)
    totals = await hub.rows("select team_id::text, sum(total)::text from jobs_totals group by team_id")
    found["jobs_totals"] = sorted(map(str, totals))
    secrets = await hub.rows("select coalesce(remoteci_id, feeder_id)::text, created_at::text from client_secrets")
    found["client_secrets"] = sorted(map(str, secrets))
    queue = await hub.rows("select job_id::text from jobs_to_pack")
    found["jobs_to_pack"] = sorted(map(str, queue))
    steps = await hub.rows("select name, position, rows_read, rows_written, finished_at is null from import_steps")
    found["import_steps"] = sorted(map(str, steps))
    store = hub.directory / "files"
    # What a killed upload leaves in tmp/ nobody sees; the store sweeps it.
    objects = [path for path in store.rglob("*") if path.is_file() and path.parent.name != "tmp"]
    found["store"] = sorted(f"{path.relative_to(store)} {hash(path.read_bytes())}" for path in objects)
    return found


def _without_stand_in_times(row: str) -> str:
    """The product and the topic that stand in for missing ones are made by the import."""
    if "IMPORTED-WITHOUT-PRODUCT" in row or "Imported without a topic" in row:
        row = re.sub(r'"[-0-9]+ [0-9:.]+"|[0-9a-f]{32}', "", row)
    return row


async def test_killed_at_random_it_ends_like_an_undisturbed_one(
    odd_hub: OldHub, new_hub: NewHub, undisturbed: NewHub
) -> None:
    await _fill_more(odd_hub)
    chance = random.Random(20260115)
    kills = 0
    await undisturbed.report(odd_hub)
    db = await undisturbed.connect()
    whole = await _work_done(db)
    await db.close()

    for aim in sorted(chance.randrange(1, whole) for _ in range(_KILLS)):
        process = await new_hub.start(*import_words(odd_hub, *_SMALL_BATCHES))
        if await _killed_beyond(new_hub, process, aim):
            kills += 1
    await new_hub.report(odd_hub, batch_bytes=1500)

    assert kills >= _KILLS // 2
    one, other = await _everything(new_hub), await _everything(undisturbed)
    for name in other:
        assert one[name] == other[name], name


async def _killed_beyond(hub: NewHub, process: asyncio.subprocess.Process, aim: int) -> bool:
    """kill -9 as soon as that much is done; False when it ended before."""
    db = await hub.connect()
    try:
        while process.returncode is None and await _work_done(db) < aim:
            await asyncio.sleep(0.005)
        if process.returncode is not None:
            return False
        process.kill()
        return True
    finally:
        await process.communicate()
        await db.close()


async def _work_done(db: "asyncpg.Connection[asyncpg.Record]") -> int:
    if not await db.fetchval("select to_regclass('import_steps') is not null"):
        return 0
    return await db.fetchval(
        """select (coalesce((select sum(rows_read) from import_steps), 0)
                   + (select count(*) from files where sha256 is not null))::integer"""
    )


async def test_a_second_run_changes_nothing(odd_hub: OldHub, new_hub: NewHub) -> None:
    first = await new_hub.report(odd_hub)
    before = await _everything(new_hub)

    second = await new_hub.report(odd_hub)

    assert await _everything(new_hub) == before
    assert _comparable(second.document) == _comparable(first.document)


def _comparable(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ("steps", "changes", "files")}


async def test_bytes_may_follow_in_a_later_run(old_hub: OldHub, new_hub: NewHub) -> None:
    without = await new_hub.report(old_hub, files=False)
    size = sum(path.stat().st_size for path in old_hub.files.rglob("*") if path.is_file())
    with_files = await new_hub.report(old_hub)

    assert (without.files("files")["missing"], without.files("files")["looked_for"]) == (8, False)
    assert without.files("files")["missing_bytes"] == size + 7
    assert (with_files.files("files")["missing"], with_files.files("files")["looked_for"]) == (1, True)


async def test_an_object_that_was_missing_is_brought_when_it_is_back(old_hub: OldHub, new_hub: NewHub) -> None:
    (path,) = old_hub.files.rglob(str(old_hub.ids["big.bin"]))
    away = path.rename(path.with_suffix(".away"))
    first = await new_hub.report(old_hub)
    away.rename(path)

    second = await new_hub.report(old_hub)

    assert (first.files("files")["missing"], second.files("files")["missing"]) == (2, 1)


async def test_the_bucket_copied_by_hand_is_used_as_it_is(old_hub: OldHub, new_hub: NewHub, log_in: Any) -> None:
    await new_hub.report(old_hub, files=False)
    (new_hub.directory / "files").mkdir(parents=True)
    old_hub.files.rename(new_hub.directory / "files" / "files")

    lab = await log_in("blue_lab")

    assert (await lab.get(f"/files/{old_hub.ids['small.log']}/content")).content == b"one line\n" * 30
