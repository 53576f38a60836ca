# SPDX-License-Identifier: Apache-2.0
"""What is deleted is archived; what is purged is gone, with its bytes."""

from pathlib import Path

import httpx
import pytest

from dci_server.features.files import purge
from tests.conftest import ClientOf, World

BIG = 100_000


async def upload(client_of: ClientOf, job: str, size: int) -> str:
    headers = {"DCI-NAME": "f", "DCI-JOB-ID": job}
    response = await client_of("blue_lab").post("/files", content=b"x" * size, headers=headers)
    return response.json()["file"]["id"]


def told(response: httpx.Response) -> tuple[int, int, int]:
    """The status, and how many rows and bytes are said to be gone."""
    headers = response.headers
    return response.status_code, int(headers["x-dci-purged-rows"]), int(headers["x-dci-purged-bytes"])


def objects(tmp_path: Path) -> int:
    return sum(path.is_file() for path in (tmp_path / "files").rglob("*"))


async def test_a_deleted_file_is_gone_for_readers_and_its_job_has_another_etag(
    client_of: ClientOf, world: World
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    file_id = await upload(client_of, job, 10)
    before = (await lab.get(f"/jobs/{job}")).json()["job"]["etag"]

    deleted = await lab.delete(f"/files/{file_id}")

    assert deleted.status_code == 204
    assert (await lab.get(f"/files/{file_id}")).json()["message"] == "file not found"
    assert (await lab.get(f"/jobs/{job}/files")).json()["files"] == []
    assert (await lab.get(f"/jobs/{job}")).json()["job"]["etag"] != before
    assert (await lab.delete(f"/files/{file_id}")).status_code == 404


@pytest.mark.parametrize(("who", "status"), [("alice", 204), ("epm", 204), ("bob", 401), ("reader", 401)])
async def test_only_the_team_deletes_a_file(client_of: ClientOf, world: World, who: str, status: int) -> None:
    file_id = await upload(client_of, await world.job(), 10)

    assert (await client_of(who).delete(f"/files/{file_id}")).status_code == status


async def test_a_purge_of_files_gives_the_bytes_back_and_keeps_the_rest(
    client_of: ClientOf, world: World, tmp_path: Path
) -> None:
    admin, job = client_of("admin"), await world.job()
    ids = [await upload(client_of, job, size) for size in (10, BIG, BIG)]
    for file_id in ids[:2]:
        await client_of("alice").delete(f"/files/{file_id}")

    listed = (await admin.get("/files/purge")).json()
    purged = await admin.post("/files/purge")

    assert ({file["id"] for file in listed["files"]}, listed["_meta"]) == (set(ids[:2]), {"count": 2})
    assert told(purged) == (204, 2, 10 + BIG)
    assert (await world.count("files"), objects(tmp_path)) == (1, 1)
    assert await world.count("objects_to_remove") == 0
    assert len((await client_of("alice").get(f"/files/{ids[2]}/content")).content) == BIG


async def test_a_purge_of_very_many_files_takes_them_in_several_statements(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has to be over before its time is."""
    admin, job = client_of("admin"), await world.job()
    for size in (1, BIG, 2, 3, 4, 5):
        await client_of("alice").delete(f"/files/{await upload(client_of, job, size)}")
    at_most_two = """create function at_most_two() returns trigger language plpgsql as $$ begin
        if (select count(*) from gone) > 2 then raise 'too many'; end if; return null; end $$"""
    await world.db.execute(at_most_two)
    await world.db.execute("""create trigger at_most_two after delete on files referencing old table as gone
                              for each statement execute function at_most_two()""")
    monkeypatch.setattr(purge, "ROWS_AT_ONCE", 2)

    assert told(await admin.post("/files/purge")) == (204, 6, 15 + BIG)
    assert await world.count("files") == 0


@pytest.mark.parametrize("number", [0, 1, 20, 41])
async def test_all_that_a_purge_would_take_is_listed(client_of: ClientOf, world: World, number: int) -> None:
    """In pieces of twenty, so that a long list costs no memory."""
    await world.db.execute(
        """insert into files (id, name, mime, sha256, size, job_id, team_id, state)
           select new_id(), 'f' || n, null, '', 0, id, team_id, 'archived' from jobs, generate_series(1, $2) as n
           where id = $1::uuid""",
        await world.job(), number,
    )  # fmt: skip

    listed = (await client_of("admin").get("/files/purge")).json()

    assert listed["_meta"] == {"count": number}
    assert {file["name"] for file in listed["files"]} == {f"f{n + 1}" for n in range(number)}
    assert len(listed["files"]) == number


async def test_what_the_store_cannot_delete_stays_whole(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    admin, job = client_of("admin"), await world.job()
    file_id = await upload(client_of, job, BIG)
    await client_of("alice").delete(f"/files/{file_id}")
    (stored,) = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    directory, elsewhere = stored.parent, tmp_path / "elsewhere"
    directory.rename(elsewhere)
    directory.symlink_to(directory)  # a loop: nothing in it can be reached

    refused = await admin.post("/files/purge")

    assert refused.status_code == 503
    assert await world.count("files") == 1
    directory.unlink()
    elsewhere.rename(directory)
    assert (await admin.post("/files/purge")).status_code == 204
    assert (await world.count("files"), objects(tmp_path)) == (0, 0)


async def test_a_purge_of_jobs_takes_everything_with_it(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    admin, alice, job, kept = client_of("admin"), client_of("alice"), await world.job(), await world.job()
    await upload(client_of, job, BIG)
    await upload(client_of, kept, BIG)
    await client_of("blue_lab").post("/jobstates", json={"job_id": job, "status": "running"})
    etag = (await alice.get(f"/jobs/{job}")).json()["job"]["etag"]
    await alice.delete(f"/jobs/{job}", headers={"If-match": etag})

    listed = (await admin.get("/jobs/purge")).json()
    purged = await admin.post("/jobs/purge")

    assert [each["id"] for each in listed["jobs"]] == [job]
    assert told(purged) == (204, 1, BIG)
    assert [await world.count(table) for table in ("jobs", "jobstates", "files")] == [1, 0, 1]
    assert objects(tmp_path) == 1


async def test_a_job_that_another_refers_to_is_not_purged(client_of: ClientOf, world: World) -> None:
    archived = await world.job(state="archived")
    await world.job(previous_job_id=archived)

    response = await client_of("admin").post("/jobs/purge")

    assert response.status_code == 409
    assert response.json()["message"].startswith("nothing was deleted: ")
    assert await world.count("jobs") == 2


@pytest.mark.parametrize("who", ["epm", "reader", "alice", "blue_lab"])
@pytest.mark.parametrize("path", ["/files/purge", "/jobs/purge"])
async def test_only_super_admins_purge(client_of: ClientOf, who: str, path: str) -> None:
    caller = client_of(who)

    assert [(await caller.get(path)).status_code, (await caller.post(path)).status_code] == [401, 401]


@pytest.mark.parametrize("plural", ["topics", "teams", "remotecis", "components"])
async def test_a_purge_tells_how_many_bytes_went_with_the_rows(
    client_of: ClientOf, world: World, tmp_path: Path, plural: str
) -> None:
    admin = client_of("admin")
    topic = await world.add("topics", name="t", product_id=world.ids["RHEL"])
    team = await world.add("teams", name="Green")
    lab = await world.add("remotecis", name="green", team_id=team)
    component = await world.add("components", name="c", type="rpm", topic_id=topic, team_id=team)
    job = await world.add("jobs", topic_id=topic, product_id=world.ids["RHEL"], remoteci_id=lab, team_id=team)
    for size in (10, BIG):
        await admin.post("/files", content=b"x" * size, headers={"DCI-NAME": "f", "DCI-JOB-ID": job})
    await admin.post(f"/components/{component}/files", content=b"x" * 20)
    ids = {"topics": topic, "teams": team, "remotecis": lab, "components": component}
    await world.db.execute(f"update {plural} set state = 'archived' where id = $1", ids[plural])

    purged = await admin.post(f"/{plural}/purge")

    bytes_gone = {"topics": BIG + 30, "teams": BIG + 30, "remotecis": BIG + 10, "components": 20}
    assert told(purged) == (204, 1, bytes_gone[plural])
    assert objects(tmp_path) == {"remotecis": 1, "components": 1}.get(plural, 0)
