# SPDX-License-Identifier: Apache-2.0
"""Files of old jobs lose their content by rule, and nothing else; whoever asks for it is told that it is gone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import httpx
import pytest

from dci_server.features.files import retention_queries
from dci_server.features.files.retention import Expired, Removed, list_expired, remove_expired
from dci_server.features.packs.actions import pack_next_job, tidy_packs
from dci_server.features.retention.actions import remove_rule, set_rule
from dci_server.features.retention.model import Rule
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.http import Application
from dci_server.foundation.storage import Store
from dci_server.foundation.storage.removal import count_unreferenced, give_up_all_objects, remove_due
from tests.conftest import ClientOf, World, started
from tests.s3 import S3
from tests.server_process import BIN, environment

REPORT = (
    b'<testsuite name="s"><testcase name="a" classname="c"><failure message="m">Traceback</failure></testcase>'
    b'<testcase name="b" classname="c"><system-out>out</system-out></testcase></testsuite>'
)
SMALL = [b"task %d " % number * 60 for number in range(5)]
BIG = bytes(number * 7 % 251 for number in range(70_000))
ALL = [*SMALL, BIG, REPORT]
V2 = "http://dci.test/api/v2"


@pytest.fixture(params=["directory", "bucket"])
def store_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def app(
    database_url: str,
    key: str,
    tmp_path: Path,
    store_kind: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Application]:
    url: str | None = None
    if store_kind == "bucket":
        s3: S3 = request.getfixturevalue("s3")
        for name, value in s3.credentials.items():
            monkeypatch.setenv(name, value)
        url = s3.url(uuid4().hex)
    async with started(database_url, key, tmp_path, url) as application:
        yield application


in_a_directory = pytest.mark.parametrize("store_kind", ["directory"], indirect=True)


class House:
    def __init__(self, app: Application, client_of: ClientOf, world: World) -> None:
        assert app.services is not None
        self.db: Connection = app.services.db
        self.store: Store = app.services.store
        self.world = world
        self.client_of = client_of

    async def job(
        self, days_ago: int, contents: list[bytes] | None = None, lab: str = "blue_lab", **values: Any
    ) -> list[str]:
        """The ids of its files, in the order of the contents; the job's is the last one."""
        created_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days_ago)
        job = await self.world.job(lab=lab, created_at=created_at, **values)
        ids = [await self.file(job, content, lab) for content in (ALL if contents is None else contents)]
        await self.client_of(lab).post("/jobstates", json={"job_id": job, "status": "success"})
        return [*ids, job]

    async def file(self, job: str, content: bytes, lab: str = "blue_lab") -> str:
        kind = {"DCI-MIME": "application/junit"} if content == REPORT else {}
        headers = {"DCI-NAME": "x", "DCI-JOB-ID": job, **kind}
        return (await self.client_of(lab).post("/files", content=content, headers=headers)).json()["file"]["id"]

    async def rule(self, days: int | None, *tags: str, topic: str | None = None, team: str | None = None) -> None:
        await set_rule(self.db, Rule("files", topic, team, days, list(tags)))

    async def run(self) -> Removed:
        return await remove_expired(self.db)

    async def pack(self) -> None:
        while await pack_next_job(self.db, self.store, 0):
            pass

    async def stored(self) -> int:
        """How many objects are there when all of those that are to be removed are."""
        await give_up_all_objects(self.db)
        await remove_due(self.db, self.store)
        found = await count_unreferenced(self.db, self.store, 1_000)
        assert found.objects == 0
        return found.looked_at

    async def content(self, file_id: str, **headers: str) -> httpx.Response:
        return await self.client_of("alice").get(f"/files/{file_id}/content", headers=headers)

    async def have_content(self, *jobs: list[str]) -> list[bool]:
        """Whether the first file of each job does."""
        return [(await self.content(ids[0])).status_code == 200 for ids in jobs]

    async def rows_with_bytes(self) -> list[int]:
        return [await self.world.count(table) for table in ("files_contents", "files_packed", "packs")]


@pytest.fixture
def house(app: Application, client_of: ClientOf, world: World) -> House:
    return House(app, client_of, world)


@pytest.mark.parametrize("where", ["rows", "packs"])
async def test_past_the_rule_the_bytes_go_and_all_else_stays(
    house: House, client_of: ClientOf, where: Literal["rows", "packs"]
) -> None:
    old, young = await house.job(31), await house.job(29)
    if where == "packs":
        await house.pack()
    await house.rule(30)
    alice, job = client_of("alice"), old[-1]
    addresses = [f"/jobs/{job}", f"/jobs/{job}/files", f"/jobs/{job}/results", f"/files/{old[0]}", f"/jobs/{job}/cases"]
    before = [(await alice.get(address)).content for address in addresses]
    # They are numbered meanwhile.
    count_events = "select (select count(*) from events_outbox) + (select count(*) from events)"
    events = await house.world.db.fetchval(count_events)

    removed = await house.run()

    assert (removed.jobs, removed.files, removed.objects) == (1, len(ALL), 2 if where == "packs" else 1)
    assert [(await alice.get(address)).content for address in addresses] == before
    assert await house.world.db.fetchval(count_events) == events
    for file_id, content in zip(young, ALL, strict=False):
        assert (await house.content(file_id)).content == content
    assert await house.rows_with_bytes() == ([0, 6, 1] if where == "packs" else [6, 0, 0])
    assert await house.stored() == (2 if where == "packs" else 1)
    assert await house.run() == Removed()


@pytest.mark.parametrize("where", ["rows", "packs"])
async def test_who_reads_what_is_gone_is_told_so(house: House, client_of: ClientOf, where: str) -> None:
    *ids, _ = await house.job(31)
    if where == "packs":
        await house.pack()
    etag = (await house.content(ids[5])).headers["etag"]
    await house.rule(30)
    await house.run()

    answers = [await house.content(file_id) for file_id in ids]
    answers += [await client_of("alice").get(f"{V2}/files/{file_id}/content") for file_id in ids]
    answers += [await house.content(ids[5], Range="bytes=5-9"), await house.content(ids[5], Range="bytes=99999999-")]
    answers += [await house.content(ids[5], **{"If-None-Match": etag})]
    heads = [await client_of("alice").head(f"{base}/files/{ids[5]}/content") for base in ("", V2)]

    assert {answer.status_code for answer in [*answers, *heads]} == {410}
    today = await house.world.db.fetchval("select utc_now()::date::text")
    said = f"the content of this file was removed on {today}, because it was kept for long enough"
    assert {answer.json()["message"] for answer in answers} == {said}
    assert (await client_of("bob").get(f"/files/{ids[0]}/content")).status_code == 401


async def test_a_report_is_told_from_its_rows_without_texts(house: House, client_of: ClientOf) -> None:
    *_, report, _ = await house.job(31)
    alice = client_of("alice")
    before = (await alice.get(f"/files/{report}/junit")).json()
    await house.rule(30)
    await house.run()

    told = (await alice.get(f"/files/{report}/junit")).json()

    fails, passes = before["testsuites"][0]["testcases"]
    assert (fails["value"], passes["stdout"]) == ("Traceback", "out")
    fails["value"], passes["stdout"] = None, None
    assert told == before
    await house.world.db.execute("update tests_results set number = null")
    assert (await alice.get(f"/files/{report}/junit")).status_code == 410


async def test_what_is_gone_takes_no_new_content(house: House, client_of: ClientOf) -> None:
    *_, report, job = await house.job(31)
    await house.rule(30)
    await house.run()
    lab = client_of("blue_lab")
    etag = (await lab.get(f"/files/{report}")).json()["file"]["etag"]

    replaced = await lab.put(
        f"/files/{report}/content", content=REPORT, headers={"Content-Type": "application/junit", "If-match": etag}
    )

    assert replaced.status_code == 410
    assert await house.world.count("files_contents") == 0
    again = await house.file(job, REPORT)
    assert (await house.content(again)).content == REPORT


@in_a_directory
async def test_what_came_later_goes_as_well(house: House) -> None:
    *_, job = await house.job(31)
    await house.rule(30)
    await house.run()
    late = await house.file(job, BIG)

    assert (await house.content(late)).content == BIG
    assert (await house.run()).files == 1
    assert (await house.content(late)).status_code == 410


@in_a_directory
async def test_a_tag_keeps_files_for_as_long_as_it_is_there(house: House, client_of: ClientOf) -> None:
    kept, other = await house.job(31, tags=["ga", "x"]), await house.job(31, tags=["nightly"])
    await house.rule(30, "ga", "release")
    await house.run()
    assert await house.have_content(kept, other) == [True, False]

    lab = client_of("blue_lab")
    etag = (await lab.get(f"/jobs/{kept[-1]}")).headers["etag"]
    await lab.put(f"/jobs/{kept[-1]}", json={"tags": ["x"]}, headers={"If-match": etag})

    assert (await house.run()).files == len(ALL)
    assert await house.have_content(kept) == [False]


@in_a_directory
async def test_a_job_that_is_not_over_keeps_its_files(house: House, client_of: ClientOf) -> None:
    ids = await house.job(31)
    await client_of("blue_lab").post("/jobstates", json={"job_id": ids[-1], "status": "running"})
    await house.rule(30)

    assert await house.run() == Removed()
    assert await house.have_content(ids) == [True]
    await client_of("blue_lab").post("/jobstates", json={"job_id": ids[-1], "status": "failure"})
    assert (await house.run()).files == len(ALL)


@in_a_directory
@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ([], [True, True]),
        ([(None, None, 30)], [False, False]),
        ([(None, None, 30), ("RHEL-9.6", None, None)], [True, True]),
        ([(None, None, 30), (None, "Blue", 50)], [True, False]),
        ([(None, "Blue", 30)], [False, True]),
        ([("RHEL-9.6", None, 30), (None, "Blue", None)], [False, False]),
        ([("RHEL-9.6", None, None), ("RHEL-9.6", "Red", 30)], [True, False]),
        ([(None, None, 30), (None, None, 50)], [True, True]),
    ],
)
async def test_the_closest_rule_counts(
    house: House, rules: list[tuple[str | None, str | None, int | None]], kept: list[bool]
) -> None:
    blue, red = await house.job(40, [b"x"]), await house.job(40, [b"x"], lab="red_lab")
    for topic, team, days in rules:
        await house.rule(days, topic=topic, team=team)
        # A rule that is not the last word must not be acted on, but may have been looked at.
        await retention_queries.list_expired(house.db)
    await house.run()

    has_content = await house.world.db.fetch(
        "select content_removed_at is null as kept from files where id = any($1::uuid[]) order by id = $2::uuid",
        [blue[0], red[0]],
        red[0],
    )
    assert [row["kept"] for row in has_content] == kept


@in_a_directory
async def test_a_rule_that_changes_counts_at_once(house: House) -> None:
    ids = await house.job(40, [b"x"])
    await house.rule(30, topic="RHEL-9.6", team="Red")
    await house.rule(50)
    assert await house.run() == Removed()
    await house.rule(None, team="Blue")
    await house.rule(30)
    assert await house.run() == Removed()
    await set_rule(house.db, Rule("cases", None, None, 1, []))
    assert await house.run() == Removed()

    await remove_rule(house.db, "files", None, "Blue")

    assert (await house.run()).files == 1
    assert await house.have_content(ids) == [False]


@pytest.mark.parametrize("where", ["rows", "packs"])
async def test_a_dry_run_says_what_then_goes(house: House, where: str) -> None:
    await house.job(31)
    await house.job(32, [*SMALL, BIG, BIG])
    await house.job(33, lab="red_lab")
    await house.job(33, tags=["ga"])
    await house.job(1)
    if where == "packs":
        await house.pack()
    await house.rule(30, "ga", team="Blue")
    await house.rule(None)
    before = await bytes_kept(house)

    for_ever, of_blue = await list_expired(house.db)
    removed = await house.run()

    assert for_ever == Expired(Rule("files", None, None, None, []), 0, 0, 0, 0)
    assert of_blue.rule == Rule("files", None, "Blue", 30, ["ga"])
    assert (of_blue.jobs, of_blue.files, of_blue.objects) == (2, 14, 5 if where == "packs" else 3)
    assert Removed(of_blue.jobs, of_blue.files, of_blue.objects, of_blue.bytes) == removed
    assert before - await bytes_kept(house) == removed.bytes
    assert [(past.files, past.bytes) for past in await list_expired(house.db)] == [(0, 0), (0, 0)]


async def bytes_kept(house: House) -> int:
    """In the rows and, once everything has left it that is going to, in the store."""
    await give_up_all_objects(house.db)
    await remove_due(house.db, house.store)
    size = await house.world.db.fetchval("select coalesce(sum(octet_length(bytes)), 0) from files_contents")
    for prefix in ("files", "packs"):
        async for entries in house.store.entries(prefix):
            size += sum(entry.size for entry in entries)
    return size


async def test_who_was_about_to_read_may_do_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row was read before, the object after the content was removed."""
    await house.job(31)
    await house.pack()
    await house.rule(30)
    keys = await house.world.db.fetch(
        "select key from packs union all select file_key(team_id, job_id, id) from files where size = $1", len(BIG)
    )
    assert len(keys) == 2

    await house.run()
    await remove_due(house.db, house.store)
    await tidy_packs(house.db, house.store)
    await remove_due(house.db, house.store)

    for row in keys:
        assert b"".join([chunk async for chunk in await house.store.read(row["key"])])
    assert await house.stored() == 0


async def test_a_purge_afterwards_takes_the_rows(house: House, client_of: ClientOf) -> None:
    *ids, job = await house.job(31)
    await house.rule(30)
    await house.run()
    assert await house.stored() == 0
    admin = client_of("admin")
    await client_of("blue_lab").delete(f"/files/{ids[5]}")

    assert (await admin.post("/files/purge")).status_code == 204

    assert await house.world.count("files") == len(ids) - 1
    assert await house.world.count("objects_to_remove") == 0
    etag = (await admin.get(f"/jobs/{job}")).headers["etag"]
    await client_of("blue_lab").delete(f"/jobs/{job}", headers={"If-match": etag})
    assert (await admin.post("/jobs/purge")).status_code == 204
    assert [await house.world.count(table) for table in ("jobs", "files", "objects_to_remove")] == [0, 0, 0]
    assert await house.world.count("jobs_with_content") == 0


@in_a_directory
async def test_two_rounds_at_once_take_each_file_once(house: House) -> None:
    for _ in range(6):
        await house.job(31)
    await house.rule(30)

    rounds = await asyncio.gather(house.run(), house.run(), house.run())

    assert sum(removed.files for removed in rounds) == 6 * len(ALL)
    assert sum(removed.objects for removed in rounds) == 6
    assert await house.stored() == 0
    assert await house.world.count("jobs_with_content") == 0


@in_a_directory
async def test_a_file_that_moves_into_a_pack_is_left_for_the_next_round(house: House) -> None:
    *ids, _ = await house.job(31)
    await house.rule(30)
    async with house.world.db.transaction():
        # As the packer holds it.
        await house.world.db.execute("select from files where id = $1::uuid for key share", ids[0])
        assert (await house.run()).files == len(ALL) - 1
    assert await house.have_content([ids[0]], [ids[1]]) == [True, False]

    assert (await house.run()).files == 1
    assert await house.world.count("jobs_with_content") == 0


@in_a_directory
@pytest.mark.parametrize("times", range(5))
async def test_packing_and_removing_at_once_leave_nothing(house: House, times: int) -> None:
    for _ in range(4):
        await house.job(31)
    await house.rule(30)

    await asyncio.gather(house.pack(), house.run(), house.pack(), house.run())
    await house.run()

    assert await house.rows_with_bytes() == [0, 0, 0]
    assert await house.stored() == 0
    assert await house.world.db.fetchval("select count(*) from files where content_removed_at is null") == 0


@in_a_directory
async def test_an_upload_meanwhile_is_not_forgotten(house: House) -> None:
    """Its job is over, and its transaction is not: the round sees nothing of it, and the next one finds it."""
    *_, job = await house.job(31)
    await house.rule(30)
    async with house.world.db.transaction():
        await house.world.add("files", name="x", sha256="0", size=1, job_id=job, team_id=house.world.ids["Blue"])
        await house.world.db.execute("update jobs set updated_at = utc_now() where id = $1::uuid", job)
        assert await house.run() == Removed()

    assert (await house.run()).files == len(ALL) + 1


@in_a_directory
async def test_a_file_whose_bytes_are_still_to_be_imported_is_left_alone(house: House) -> None:
    *ids, _ = await house.job(31)
    await house.world.db.execute("update files set sha256 = null where id = $1::uuid", ids[0])
    await house.rule(30)

    assert (await house.run()).files == len(ALL) - 1
    assert await house.have_content([ids[0]]) == [True]


@in_a_directory
async def test_a_run_that_is_killed_leaves_whole_jobs_to_the_next(
    house: House, database_url: str, tmp_path: Path
) -> None:
    """It is killed in the middle of the second job, where it waits for a lock of ours."""
    first, second = await house.job(32), await house.job(31)
    await house.rule(30)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with house.world.db.transaction():
        await house.world.db.execute("select from files_contents where file_id = $1::uuid for update", second[3])
        command = await asyncio.create_subprocess_exec(
            str(BIN / "dci-server"), "retention", "run", env={**environment(tmp_path, 0), "DATABASE_URL": database_url}
        )
        async with asyncio.timeout(60):
            while not await house.db.fetchval(waiting):
                assert command.returncode is None
                await asyncio.sleep(0.01)
        command.kill()
        await command.wait()
    holding = """select count(*) from pg_locks join pg_database on pg_database.oid = database
                 where datname = current_database() and relation = 'jobs_with_content'::regclass"""
    async with asyncio.timeout(60):
        # Its connection notices when it has the lock.
        while await house.world.db.fetchval(holding):
            await asyncio.sleep(0.01)

    assert await house.have_content(first, second) == [False, True]
    assert [(await house.content(file_id)).content for file_id in second[:-1]] == ALL
    assert await house.rows_with_bytes() == [6, 0, 0]
    assert await house.stored() == 1
    assert (await house.run()).files == len(ALL)
    assert await house.stored() == 0
