# SPDX-License-Identifier: Apache-2.0
"""The small files of a job that is over are in one object; nobody who reads them notices."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dci_server.features.packs import actions, model, queries
from dci_server.foundation.http import Application
from dci_server.foundation.storage import Store
from dci_server.foundation.storage.removal import give_up_all_objects, remove_due
from tests.conftest import ClientOf, World

JUNIT = b'<testsuite name="all" tests="1"><testcase name="one" classname="a"/></testsuite>'
ENRICHED = JUNIT.replace(b"/></testsuite>", b"><properties/></testcase></testsuite>")


def log_of_task(number: int) -> bytes:
    return b"".join(b'ok: [node-%d] => {"changed": false, "task": %d}\n' % (line, number) for line in range(50))


CONTENTS = [b"", b"x", JUNIT, *(log_of_task(number) for number in range(40)), bytes(65_536)]


async def a_job_that_is_over(client_of: ClientOf, world: World, contents: list[bytes] | None = None) -> list[str]:
    """The ids of its files, in the order of the contents; the job's is the last one."""
    lab, job = client_of("blue_lab"), await world.job()
    ids: list[str] = []
    for content in CONTENTS if contents is None else contents:
        headers = {"DCI-NAME": "task", "DCI-JOB-ID": job}
        if content == JUNIT:
            headers["DCI-MIME"] = "application/junit"
        ids.append((await lab.post("/files", content=content, headers=headers)).json()["file"]["id"])
    await lab.post("/jobstates", json={"job_id": job, "status": "success"})
    return [*ids, job]


async def pack(app: Application, quiet_seconds: float = 0) -> int:
    """How many jobs were looked at."""
    db, store = services(app)
    jobs = 0
    while await actions.pack_next_job(db, store, quiet_seconds):
        jobs += 1
    return jobs


def services(app: Application) -> tuple[Any, Store]:
    assert app.services is not None
    return app.services.db, app.services.store


def objects(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


async def test_readers_of_packed_files_notice_nothing(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    alice = client_of("alice")
    *ids, job = await a_job_that_is_over(client_of, world)
    addresses = [f"/files/{file_id}{more}" for file_id in ids for more in ("", "/content")]
    addresses += [f"http://dci.test/api/v2/files/{file_id}/content" for file_id in ids]
    addresses += [f"/jobs/{job}/files", f"/jobs/{job}/results", f"/jobs/{job}", f"/files/{ids[2]}/junit"]
    before = [await alice.get(address) for address in addresses]

    await pack(app)

    assert [await world.count(table) for table in ("files_contents", "files_packed", "packs")] == [0, len(CONTENTS), 1]
    assert len(objects(tmp_path)) == 1
    assert await world.count("objects_to_remove") == 0
    after = [await alice.get(address) for address in addresses]
    assert [(each.status_code, each.content) for each in after] == [(200, each.content) for each in before]
    assert [{**each.headers} for each in after] == [{**each.headers} for each in before]
    assert [(await alice.get(f"/files/{file_id}/content")).content for file_id in ids] == CONTENTS


REPORT = (
    b'<testsuites><testsuite name="one"><testcase classname="c" name="fails"><failure type="E" message="m">'
    + b"Traceback &lt;1&gt;" * 300
    + b'</failure><system-out>out</system-out></testcase><testcase classname="c" name="passes"/></testsuite></testsuites>'
)


@pytest.mark.parametrize("rows_of_cases", ["there", "gone"])
async def test_a_report_in_a_pack_is_read_back_with_its_texts(
    client_of: ClientOf, app: Application, world: World, rows_of_cases: str
) -> None:
    lab, alice, job = client_of("blue_lab"), client_of("alice"), await world.job()
    headers = {"DCI-NAME": "report", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
    contents = [log_of_task(1), log_of_task(2), REPORT, log_of_task(3)]
    ids = [
        (await lab.post("/files", content=content, headers=headers if content is REPORT else {**headers, "DCI-MIME": "x"}))
        .json()["file"]["id"]
        for content in contents
    ]  # fmt: skip
    await lab.post("/jobstates", json={"job_id": job, "status": "success"})
    if rows_of_cases == "gone":
        await world.db.execute("update tests_results set number = null")
    before = (await alice.get(f"/files/{ids[2]}/junit")).json()

    await pack(app)

    assert await world.db.fetchval("select start from files_packed where file_id = $1", ids[2]) > 0
    assert (await alice.get(f"/files/{ids[2]}/junit")).json() == before
    fails, passes = before["testsuites"][0]["testcases"]
    assert (fails["value"], fails["stdout"]) == ("Traceback <1>" * 300, "out")
    assert (passes["action"], passes["value"]) == ("success", "")


async def test_a_part_and_the_head_of_a_packed_file(client_of: ClientOf, app: Application, world: World) -> None:
    alice = client_of("alice")
    *ids, _ = await a_job_that_is_over(client_of, world)
    await pack(app)

    part = await alice.get(f"/files/{ids[5]}/content", headers={"Range": "bytes=10-19"})
    head = await alice.head(f"/files/{ids[5]}/content")

    assert (part.status_code, part.content) == (206, CONTENTS[5][10:20])
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENTS[5])))


async def test_a_file_is_read_with_one_range_of_at_most_a_frame(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    await a_job_that_is_over(client_of, world)

    await pack(app)

    (stored,) = objects(tmp_path)
    rows = await world.db.fetch(
        "select frame_start, frame_size, start, size from files_packed join files on id = file_id"
    )
    assert max(row["start"] + row["size"] for row in rows) <= model.FRAME_BYTES
    frames = sorted({(row["frame_start"], row["frame_size"]) for row in rows})
    assert len(frames) > 2
    assert [start for start, _ in frames] == [sum(size for _, size in frames[:n]) for n in range(len(frames))]
    assert stored.stat().st_size == sum(size for _, size in frames) == await world.db.fetchval("select size from packs")
    assert stored.stat().st_size < sum(map(len, CONTENTS)) / 5


async def test_a_job_is_packed_when_it_is_over_and_quiet(client_of: ClientOf, app: Application, world: World) -> None:
    lab = client_of("blue_lab")
    *_, job = await a_job_that_is_over(client_of, world, CONTENTS[:5])
    running = await world.job()
    for content in CONTENTS[:5]:
        await lab.post("/files", content=content, headers={"DCI-NAME": "x", "DCI-JOB-ID": running})

    assert await pack(app, quiet_seconds=3600) == 0
    assert await pack(app) == 1
    assert await world.db.fetchval("select job_id::text from packs") == job
    assert await world.count("files_contents") == 5


async def test_a_job_that_goes_on_after_its_end_is_left_alone(
    client_of: ClientOf, app: Application, world: World
) -> None:
    *_, job = await a_job_that_is_over(client_of, world, CONTENTS[:5])
    await client_of("blue_lab").post("/jobstates", json={"job_id": job, "status": "running"})

    assert await pack(app) == 1
    assert await world.count("packs") == 0


async def test_few_files_stay_in_their_rows(client_of: ClientOf, app: Application, world: World) -> None:
    await a_job_that_is_over(client_of, world, CONTENTS[: model.FEWEST_FILES - 1])

    assert await pack(app) == 1
    assert await world.count("packs") == 0


async def test_what_comes_late_goes_into_another_pack(client_of: ClientOf, app: Application, world: World) -> None:
    lab = client_of("blue_lab")
    *ids, job = await a_job_that_is_over(client_of, world, CONTENTS[:5])
    await pack(app)
    late = [
        (await lab.post("/files", content=b"late", headers={"DCI-NAME": "x", "DCI-JOB-ID": job})).json()["file"]["id"]
        for _ in range(model.FEWEST_FILES)
    ]

    await pack(app)

    assert [await world.count(table) for table in ("files_contents", "packs", "jobs_to_pack")] == [0, 2, 0]
    assert (await lab.get(f"/files/{late[0]}/content")).content == b"late"
    assert (await lab.get(f"/files/{ids[4]}/content")).content == CONTENTS[4]


async def test_of_a_job_with_very_many_files_the_rest_goes_into_the_next_pack(
    client_of: ClientOf, app: Application, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "MOST_FILES", 10)
    monkeypatch.setattr(actions, "_PAGE", 5)
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:24])

    await pack(app)

    assert [await world.count(table) for table in ("files_contents", "packs")] == [0, 3]
    assert (await client_of("alice").get(f"/files/{ids[23]}/content")).content == CONTENTS[23]


async def test_a_purge_of_some_files_keeps_the_others_and_writes_a_sparse_pack_anew(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    alice, admin, (db, store) = client_of("alice"), client_of("admin"), services(app)
    contents = [log_of_task(number) for number in range(30)]
    *ids, _ = await a_job_that_is_over(client_of, world, contents)
    await pack(app)
    before = await world.db.fetchval("select size from packs")

    for file_id in ids[:10]:
        await alice.delete(f"/files/{file_id}")
    await admin.post("/files/purge")
    await actions.tidy_packs(db, store)

    assert [await world.count(table) for table in ("files", "files_packed", "packs")] == [20, 20, 1]
    assert await world.db.fetchval("select size from packs") == before
    for file_id in ids[10:20]:
        await alice.delete(f"/files/{file_id}")
    await admin.post("/files/purge")
    await actions.tidy_packs(db, store)

    assert [(await alice.get(f"/files/{file_id}/content")).content for file_id in ids[20:]] == contents[20:]
    assert await world.db.fetchval("select content_size from packs where replaced_at is null") == sum(
        map(len, contents[20:])
    )
    # Whoever was about to read the old one may do so; later it goes.
    assert len(objects(tmp_path)) == 2
    await world.db.execute(
        "update packs set replaced_at = replaced_at - interval '1 hour' where replaced_at is not null"
    )
    await actions.tidy_packs(db, store)
    await remove_due(db, store)
    (left,) = objects(tmp_path)
    assert left.stat().st_size == await world.db.fetchval("select size from packs") < before / 2


async def test_a_pack_goes_with_its_last_file(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    alice, admin = client_of("alice"), client_of("admin")
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:5])
    await pack(app)
    for file_id in ids:
        await alice.delete(f"/files/{file_id}")

    await admin.post("/files/purge")

    assert [await world.count(table) for table in ("files", "packs", "objects_to_remove")] == [0, 0, 0]
    assert objects(tmp_path) == []


@pytest.mark.parametrize("what", ["jobs", "topics", "teams", "remotecis"])
async def test_a_pack_goes_with_what_it_hangs_on(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, what: str
) -> None:
    *_, job = await a_job_that_is_over(client_of, world, CONTENTS[:5])
    await pack(app)
    await world.db.execute(f"update {what} set state = 'archived' where id = any($1)", [
        job, world.ids["RHEL-9.6"], world.ids["Blue"], world.ids["blue_lab"],
    ])  # fmt: skip

    assert (await client_of("admin").post(f"/{what}/purge")).status_code == 204
    await remove_due(*services(app))

    assert [await world.count(table) for table in ("files_packed", "packs", "objects_to_remove")] == [0, 0, 0]
    assert objects(tmp_path) == []


async def test_files_that_go_while_they_are_packed_are_not_in_the_pack(
    client_of: ClientOf, app: Application, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    _, store = services(app)
    begin = store.begin

    async def begin_after_a_purge() -> object:
        await world.db.execute("delete from files where id = any($1)", ids[:4])
        return await begin()

    monkeypatch.setattr(store, "begin", begin_after_a_purge)

    await pack(app)

    assert await world.count("files_packed") == 4
    assert await world.count("objects_to_remove") == 0
    assert (await client_of("alice").get(f"/files/{ids[7]}/content")).content == CONTENTS[7]


async def test_a_report_that_gets_new_content_while_it_is_packed_keeps_it(
    client_of: ClientOf, app: Application, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    lab, report = client_of("blue_lab"), f"/files/{ids[CONTENTS.index(JUNIT)]}"
    _, store = services(app)
    begin = store.begin

    async def begin_to_be_overtaken() -> object:
        upload = await begin()
        commit = upload.commit

        async def commit_later(key: str) -> None:
            etag = (await lab.get(report)).json()["file"]["etag"]
            headers = {"Content-Type": "application/junit", "If-match": etag}
            assert (await lab.put(f"{report}/content", content=ENRICHED, headers=headers)).status_code == 200
            await commit(key)

        monkeypatch.setattr(upload, "commit", commit_later)
        return upload

    with monkeypatch.context() as patch:
        patch.setattr(store, "begin", begin_to_be_overtaken)
        await actions.pack_next_job(*services(app), 0)

    assert (await lab.get(f"{report}/content")).content == ENRICHED
    assert await world.count("files_packed") == 7


async def test_new_content_that_waits_for_a_packer_takes_the_place_of_the_old(
    client_of: ClientOf, app: Application, world: World
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    lab, report, (db, _) = client_of("blue_lab"), ids[CONTENTS.index(JUNIT)], services(app)
    headers = {
        "Content-Type": "application/junit",
        "If-match": (await lab.get(f"/files/{report}")).json()["file"]["etag"],
    }
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, world.db.transaction():
        await world.db.execute("select from files where id = $1::uuid for update", report)
        tasks.create_task(pack(app))
        while await db.fetchval(waiting) < 1:
            await asyncio.sleep(0.01)
        replacing = tasks.create_task(lab.put(f"/files/{report}/content", content=ENRICHED, headers=headers))
        while await db.fetchval(waiting) < 2:
            await asyncio.sleep(0.01)

    assert replacing.result().status_code == 200
    assert (await lab.get(f"/files/{report}/content")).content == ENRICHED
    assert await world.count("files_packed") == 7


async def test_of_two_who_pack_one_job_one_does(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    db, store = services(app)
    # The first one's time has run out, so that a second one has begun.
    first = asyncio.Event()

    async def packed_by_another() -> None:
        await actions.pack_next_job(db, store, 0)
        first.set()

    begin = store.begin
    begun = 0

    async def begin_when_another_has_packed() -> object:
        nonlocal begun
        begun += 1
        upload = await begin()
        if begun == 1:
            await world.db.execute("update jobs_to_pack set packed_until = utc_now()")
            await packed_by_another()
        return upload

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "begin", begin_when_another_has_packed)
        await pack(app)

    assert first.is_set()
    await remove_due(db, store)
    assert [await world.count(table) for table in ("packs", "files_packed", "objects_to_remove")] == [1, 8, 0]
    assert len(objects(tmp_path)) == 1
    assert (await client_of("alice").get(f"/files/{ids[3]}/content")).content == CONTENTS[3]


async def test_a_store_that_fails_leaves_the_files_where_they_are(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    (tmp_path / "files").mkdir(exist_ok=True)
    (tmp_path / "files" / "packs").write_text("in the way")

    with pytest.raises(Exception, match=r".+"):
        await pack(app)

    assert [await world.count(table) for table in ("files_contents", "packs")] == [8, 0]
    assert (await client_of("alice").get(f"/files/{ids[3]}/content")).content == CONTENTS[3]
    (tmp_path / "files" / "packs").unlink()
    await world.db.execute("update jobs_to_pack set packed_until = null")
    await pack(app)
    db, store = services(app)
    await give_up_all_objects(db)
    await remove_due(db, store)
    assert [await world.count(table) for table in ("files_contents", "packs")] == [0, 1]
    assert len(objects(tmp_path)) == 1


async def test_who_dies_between_the_object_and_its_row_leaves_nothing(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    db, store = services(app)

    async def die(*_: object) -> int:
        raise KilledHere

    with monkeypatch.context() as patch:
        patch.setattr(queries, "insert_pack", die)
        with pytest.raises(KilledHere):
            await pack(app)

    assert len(objects(tmp_path)) == 1
    # As the next server does with what its predecessor left.
    await give_up_all_objects(db)
    await remove_due(db, store)
    assert objects(tmp_path) == []
    await world.db.execute("update jobs_to_pack set packed_until = utc_now()")
    assert await pack(app) == 1
    assert (await client_of("alice").get(f"/files/{ids[3]}/content")).content == CONTENTS[3]


class KilledHere(BaseException):
    """Nothing that the code could handle."""


async def test_a_damaged_pack_is_no_fault_of_the_reader(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    *ids, _ = await a_job_that_is_over(client_of, world, CONTENTS[:8])
    await pack(app)
    (stored,) = objects(tmp_path)
    stored.write_bytes(bytes(stored.stat().st_size))

    assert (await client_of("alice").get(f"/files/{ids[3]}/content")).status_code == 503
    stored.unlink()
    assert (await client_of("alice").get(f"/files/{ids[3]}/content")).status_code == 404
