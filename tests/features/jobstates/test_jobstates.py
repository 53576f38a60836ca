# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


@pytest.mark.parametrize("status", ["new", "pre-run", "running", "post-run", "success", "failure", "killed", "error"])
async def test_a_state_becomes_the_status_of_the_job(client_of: ClientOf, world: World, status: str) -> None:
    lab, job = client_of("blue_lab"), await world.job(status="running")

    response = await lab.post("/jobstates", json={"job_id": job, "status": status, "comment": "why"})

    assert response.status_code == 201
    assert response.json()["jobstate"]["status"] == status
    assert response.json()["jobstate"]["comment"] == "why"
    assert (await lab.get(f"/jobs/{job}")).json()["job"]["status"] == status


@pytest.mark.parametrize(("before", "stored"), [("new", "error"), ("pre-run", "error"), ("running", "failure")])
async def test_a_failure_before_the_run_is_stored_as_an_error(
    client_of: ClientOf, world: World, before: str, stored: str
) -> None:
    lab, job = client_of("blue_lab"), await world.job(status=before)

    response = await lab.post("/jobstates", json={"job_id": job, "status": "failure"})

    assert response.json()["jobstate"]["status"] == stored
    assert (await lab.get(f"/jobs/{job}")).json()["job"]["status"] == "failure"


async def test_every_state_sets_the_duration(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    await world.db.execute("update jobs set created_at = created_at - interval '90 seconds'")

    await lab.post("/jobstates", json={"job_id": job, "status": "running"})

    assert (await lab.get(f"/jobs/{job}")).json()["job"]["duration"] in (90, 91)


async def test_the_newest_state_comes_first(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    for status in ("pre-run", "running", "success"):
        await lab.post("/jobstates", json={"job_id": job, "status": status})

    listed = (await lab.get(f"/jobs/{job}/jobstates")).json()
    embedded = (await lab.get(f"/jobs/{job}")).json()["job"]["jobstates"]

    assert [state["status"] for state in listed["jobstates"]] == ["success", "running", "pre-run"]
    assert listed["_meta"]["count"] == 3
    assert [state["status"] for state in embedded] == ["pre-run", "running", "success"]


@pytest.mark.parametrize(
    ("who", "status"), [("alice", 201), ("epm", 201), ("admin", 201), ("reader", 401), ("bob", 401), ("nobody", 401)]
)
async def test_who_reports_a_state_of_a_blue_job(client_of: ClientOf, world: World, who: str, status: int) -> None:
    job = await world.job()

    response = await client_of(who).post("/jobstates", json={"job_id": job, "status": "running"})

    assert response.status_code == status


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("reader", 200), ("bob", 401), ("nobody", 401)])
async def test_who_reads_the_states_of_a_blue_job(client_of: ClientOf, world: World, who: str, status: int) -> None:
    job = await world.job()

    response = await client_of(who).get(f"/jobs/{job}/jobstates")

    assert response.status_code == status


async def test_an_unknown_status_is_refused_with_the_known_ones(client_of: ClientOf, world: World) -> None:
    job = await world.job()

    response = await client_of("blue_lab").post("/jobstates", json={"job_id": job, "status": "done"})

    assert response.status_code == 400
    assert "post-run" in response.json()["message"]
    assert await world.count("jobstates") == 0


async def test_a_comment_that_is_no_text_is_refused(client_of: ClientOf, world: World) -> None:
    job = await world.job()

    response = await client_of("blue_lab").post("/jobstates", json={"job_id": job, "status": "new", "comment": 5})

    assert response.json()["payload"]["errors"] == ["5 is not of type 'string', 'null'"]


@pytest.mark.parametrize(
    ("who", "read", "removed"), [("alice", 200, 204), ("reader", 200, 401), ("epm", 200, 204), ("bob", 401, 401)]
)
async def test_a_jobstate_is_read_and_removed_by_those_who_may(
    client_of: ClientOf, world: World, who: str, read: int, removed: int
) -> None:
    state = await world.add("jobstates", job_id=await world.job(), status="running", comment="go")

    found = await client_of(who).get(f"/jobstates/{state}")
    deleted = await client_of(who).delete(f"/jobstates/{state}")

    assert (found.status_code, deleted.status_code) == (read, removed)
    assert read != 200 or found.json()["jobstate"]["comment"] == "go"
    assert await world.count("jobstates") == (removed != 204)


async def test_the_files_of_a_removed_jobstate_stay_with_the_job(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    state = await world.add("jobstates", job_id=job, status="running")
    headers = {"DCI-NAME": "task", "DCI-JOBSTATE-ID": state}
    file_id = (await lab.post("/files", content=b"ok", headers=headers)).json()["file"]["id"]
    before = (await lab.get(f"/jobstates/{state}")).json()["jobstate"]["files"]

    await lab.delete(f"/jobstates/{state}")

    assert [file["id"] for file in before] == [file_id]
    files = (await lab.get(f"/jobs/{job}")).json()["job"]["files"]
    assert [(file["id"], file["jobstate_id"]) for file in files] == [(file_id, None)]
    assert (await lab.get(f"/jobstates/{state}")).json()["message"] == "jobstate not found"
