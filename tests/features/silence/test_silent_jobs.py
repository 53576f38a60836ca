# SPDX-License-Identifier: Apache-2.0
"""A job that has said nothing for too long is closed, as if its laboratory had said that it erred."""

import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from dci_server.features.silence.jobs import AT_ONCE
from tests.conftest import World, started
from tests.features.silence.conftest import DAY, Hub, pass_time
from tests.features.uploads.test_pieces import place, sent
from tests.server_process import BIN, environment, free_port
from tests.waiting import until

_MINUTE = timedelta(minutes=1)


async def test_a_silent_job_ends_as_an_error_that_says_why(hub: Hub) -> None:
    job_id = await hub.running()
    before = await hub.job(job_id)
    await hub.wait(DAY)

    await hub.close_silent()

    job = await hub.job(job_id)
    assert job["status"] == "error"
    assert job["duration"] >= DAY.total_seconds()
    assert (job["etag"][:16], job["etag"] == before["etag"]) == (before["etag"][:16], False)
    assert [(state["status"], state["comment"]) for state in job["jobstates"]] == [
        ("running", None),
        ("error", "closed by the server: nothing was heard of this job for 1 day"),
    ]
    assert await hub.finished(job_id) == ["error"]
    told = (await hub.client_of("alice").get(f"/jobs/{job_id}/events")).json()["events"][-2:]
    assert [(event["type"], event["actor_id"], event["data"]["status"]) for event in told] == [
        ("job_state_changed", None, "error"),
        ("job_finished", None, "error"),
    ]
    assert await hub.world.db.fetchval("select job_id::text from jobs_to_pack") == job_id


async def test_the_audits_say_that_the_server_did_it(hub: Hub) -> None:
    job_id = await hub.running()
    await hub.wait(DAY)

    await hub.close_silent()

    audits = (await hub.client_of("admin").get(f"/audits?where=subject_id:{job_id},kind:server")).json()["audits"]
    assert [(audit["kind"], audit["user_id"], audit["path"]) for audit in audits] == [
        ("server", None, f"/api/v1/jobs/{job_id}")
    ]


async def test_a_job_is_waited_for_as_long_as_it_may_be_silent(hub: Hub) -> None:
    job_id = await hub.running()
    await hub.wait(DAY - _MINUTE)
    await hub.close_silent()
    assert (await hub.job(job_id))["status"] == "running"

    await hub.wait(_MINUTE)
    await hub.close_silent()

    assert (await hub.job(job_id))["status"] == "error"


async def _says_a_state(hub: Hub, job_id: str) -> None:
    await hub.state(job_id, "running")


async def _uploads_a_file(hub: Hub, job_id: str) -> None:
    headers = {"DCI-JOB-ID": job_id, "DCI-NAME": "log"}
    assert (await hub.client_of("blue_lab").post("/files", content=b"x", headers=headers)).status_code == 201


async def _has_a_key_and_a_value(hub: Hub, job_id: str) -> None:
    response = await hub.client_of("blue_lab").post(f"/jobs/{job_id}/kv", json={"key": "speed", "value": 1})
    assert response.status_code == 201


async def _is_changed(hub: Hub, job_id: str) -> None:
    etag = (await hub.job(job_id))["etag"]
    response = await hub.client_of("blue_lab").put(f"/jobs/{job_id}", json={"tags": ["a"]}, headers={"If-match": etag})
    assert response.status_code == 200


async def _attaches_a_component(hub: Hub, job_id: str) -> None:
    component = {
        "id": await hub.world.add("components", name="driver", type="driver", topic_id=hub.world.ids["RHEL-9.6"])
    }
    assert (await hub.client_of("blue_lab").post(f"/jobs/{job_id}/components", json=component)).status_code == 201


async def _uploads_a_piece(hub: Hub, job_id: str) -> None:
    """Of a file that is not whole yet: its job's row has not changed since it began."""
    where = await place(hub.client_of("blue_lab"), job_id, 10)
    await hub.wait(DAY)
    assert (await sent(hub.client_of("blue_lab"), where, 0, b"piece")).status_code == 204


@pytest.mark.parametrize(
    "speaks",
    [_says_a_state, _uploads_a_file, _has_a_key_and_a_value, _is_changed, _attaches_a_component, _uploads_a_piece],
)
async def test_whatever_is_heard_of_a_job_keeps_it_open(
    hub: Hub, speaks: Callable[[Hub, str], Awaitable[None]]
) -> None:
    job_id = await hub.running()
    await hub.wait(DAY - _MINUTE)
    await hub.close_silent()
    await hub.wait(_MINUTE)
    await speaks(hub, job_id)

    await hub.close_silent()
    assert (await hub.job(job_id))["status"] == "running"

    await hub.wait(DAY)
    await hub.close_silent()
    assert (await hub.job(job_id))["status"] == "error"


async def test_a_job_that_speaks_at_that_moment_stays_open(hub: Hub, database_url: str) -> None:
    job_id = await hub.running()
    await hub.wait(DAY)
    laboratory: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    speaking = laboratory.transaction()
    await speaking.start()
    await laboratory.execute("update jobs set updated_at = utc_now() where id = $1::uuid", job_id)

    await hub.close_silent()
    await speaking.commit()
    await hub.close_silent()

    assert (await hub.job(job_id))["status"] == "running"
    await laboratory.close()


async def test_several_processes_close_each_job_once(hub: Hub) -> None:
    jobs = [await hub.world.job(status="running") for _ in range(2 * AT_ONCE + 1)]
    await hub.wait(DAY)

    await hub.close_silent(processes=4)

    assert await hub.world.db.fetchval("select count(*) from jobs where status = 'error'") == len(jobs)
    assert await hub.world.count("jobstates") == len(jobs)
    assert (await hub.client_of("admin").get("/jobs_events/0?limit=1&offset=0")).json()["_meta"]["count"] == len(jobs)
    assert await hub.world.count("jobs_watched") == 0


async def test_who_speaks_again_is_heard_and_watched_again(hub: Hub) -> None:
    job_id = await hub.running()
    await hub.wait(DAY)
    await hub.close_silent()

    await hub.state(job_id, "running")
    await hub.close_silent()
    assert (await hub.job(job_id))["status"] == "running"
    await hub.wait(DAY)
    await hub.close_silent()

    assert (await hub.job(job_id))["status"] == "error"
    assert await hub.finished(job_id) == ["error", "error"]


async def test_a_late_result_counts(hub: Hub) -> None:
    """As the contract has it, a state that ends a job that had ended tells nobody that it ended again."""
    straight, on = await hub.running(), await hub.running()
    await hub.wait(DAY)
    await hub.close_silent()

    await hub.state(straight, "success")
    for status in ("running", "success"):
        await hub.state(on, status)

    assert [(await hub.job(job_id))["status"] for job_id in (straight, on)] == ["success", "success"]
    assert await hub.finished(straight) == ["error"]
    assert await hub.finished(on) == ["error", "success"]


@pytest.mark.parametrize(
    "values",
    [{"status": status} for status in ("success", "failure", "error", "killed")]
    + [{"status": "running", "state": "archived"}],
)
async def test_what_is_over_or_archived_is_left_alone(hub: Hub, values: dict[str, str]) -> None:
    await hub.world.job(**values)
    await hub.wait(DAY)

    await hub.close_silent()

    assert await hub.world.db.fetchval("select status from jobs") == values["status"]
    assert [await hub.world.count(table) for table in ("jobstates", "jobs_watched")] == [0, 0]


async def test_what_was_silent_long_before_is_history(hub: Hub) -> None:
    old = await hub.world.job(status="running")
    await hub.wait(timedelta(days=9))
    young = await hub.world.job(status="new")
    await hub.wait(DAY)

    await hub.close_silent()

    assert [(await hub.job(job_id))["status"] for job_id in (old, young)] == ["running", "error"]


async def test_a_server_closes_jobs_beside_its_requests(
    world: World, database_url: str, key: str, tmp_path: Path
) -> None:
    job_id = await world.job(status="running")
    await pass_time(world, _MINUTE)

    async with started(database_url, key, tmp_path, DCI_CLOSE_JOBS_AFTER_SECONDS="60"):
        await _closed(world, job_id)


async def test_the_demonstration_closes_jobs(world: World, database_url: str, tmp_path: Path) -> None:
    job_id = await world.job(status="running")
    await pass_time(world, DAY)
    variables = environment(tmp_path, free_port())
    server = subprocess.Popen(
        [BIN / "dci-server", "demo", "--serve"],
        env={**variables, "DATABASE_URL": database_url},
        stdout=subprocess.DEVNULL,
    )
    try:
        await _closed(world, job_id)
    finally:
        server.terminate()
        assert server.wait(60) == 0


async def _closed(world: World, job_id: str) -> None:
    await until(lambda: world.db.fetchval("select status = 'error' from jobs where id = $1::uuid", job_id))
