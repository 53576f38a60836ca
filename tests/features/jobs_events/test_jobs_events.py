# SPDX-License-Identifier: Apache-2.0
"""Readers of the older list find each finished job once, from where they are on."""

import httpx
import pytest

from tests.conftest import ClientOf, World


async def _end(client: httpx.AsyncClient, job_id: str, status: str) -> None:
    assert (await client.post("/jobstates", json={"job_id": job_id, "status": status})).status_code == 201


async def _listed(client: httpx.AsyncClient, first: int = 0, query: str = "sort=id") -> list[dict[str, object]]:
    response = await client.get(f"/jobs_events/{first}?{query}")
    assert response.status_code == 200
    return response.json()["jobs_events"]


async def test_each_job_that_ended_is_listed_from_an_id_on(client_of: ClientOf, world: World) -> None:
    admin, lab = client_of("admin"), client_of("blue_lab")
    jobs = [await world.job() for _ in range(3)]
    for job_id, status in zip(jobs, ("success", "failure", "running"), strict=True):
        await _end(lab, job_id, status)
    await _end(lab, jobs[2], "failure")

    events = await _listed(admin)

    assert [(event["job_id"], event["status"]) for event in events] == [
        (jobs[0], "success"),
        (jobs[1], "error"),
        (jobs[2], "failure"),
    ]
    assert set(events[0]) == {"id", "created_at", "job_id", "topic_id", "status"}
    second = events[1]["id"]
    assert isinstance(second, int)
    assert await _listed(admin, second) == events[1:]
    assert await _listed(admin, query="limit=1&offset=0") == events[2:]
    answer = (await admin.get("/jobs_events/0?where=status:error")).json()
    assert answer["jobs_events"] == [events[1]]
    assert answer["_meta"] == {"count": 1}


async def test_archived_jobs_stay_and_purged_ones_go(client_of: ClientOf, world: World) -> None:
    admin, job_id = client_of("admin"), await world.job()
    await _end(client_of("blue_lab"), job_id, "success")
    etag = (await admin.get(f"/jobs/{job_id}")).headers["etag"]

    assert (await admin.delete(f"/jobs/{job_id}", headers={"If-match": etag})).status_code == 204
    assert len(await _listed(admin)) == 1
    assert (await admin.post("/jobs/purge")).status_code == 204
    assert await _listed(admin) == []


async def test_what_is_deleted_is_gone_here_and_nowhere_else(client_of: ClientOf, world: World) -> None:
    admin, lab = client_of("admin"), client_of("blue_lab")
    for _ in range(3):
        await _end(lab, await world.job(), "success")
    events = await _listed(admin)

    assert (await admin.delete(f"/jobs_events/{events[1]['id']}")).status_code == 204
    assert (await admin.delete("/jobs_events/999999999")).status_code == 204
    await _end(lab, await world.job(), "success")

    left = await _listed(admin)
    assert left[0] == events[0]
    assert len(left) == 2
    assert len((await admin.get("/events?type=job_finished")).json()["events"]) == 4


async def test_of_two_readers_that_move_on_one_is_told(client_of: ClientOf, world: World) -> None:
    admin, path = client_of("admin"), "/jobs_events/sequence"
    first = (await admin.get(path)).json()["sequence"]
    headers = {"If-match": first["etag"]}

    moved = await admin.put(path, json={"sequence": 7}, headers=headers)
    late = await admin.put(path, json={"sequence": 5}, headers=headers)

    assert first["sequence"] == 0
    assert (moved.status_code, moved.content) == (204, b"")
    assert "etag" not in moved.headers
    assert late.status_code == 409
    assert late.json()["message"] == 'conflict on jobs_events "sequence" or etag not matched'
    now = (await admin.get(path)).json()["sequence"]
    assert now["sequence"] == 7
    assert now["etag"] != first["etag"]


async def test_the_sequence_needs_an_etag_and_an_integer(client_of: ClientOf, world: World) -> None:
    admin, path = client_of("admin"), "/jobs_events/sequence"

    assert (await admin.put(path, json={"sequence": 7})).status_code == 412
    refused = await admin.put(path, json={"sequence": "3"}, headers={"If-match": "x"})
    assert refused.json()["payload"]["error"] == "sequence: '3' is not of type 'integer'"
    assert (await admin.put(path, json={"sequence": 2**70}, headers={"If-match": "x"})).status_code == 400


@pytest.mark.parametrize("path", ["/jobs_events", "/jobs_events/x", "/jobs_events/-1", f"/jobs_events/{'9' * 40}"])
async def test_what_is_no_id_is_no_address(client_of: ClientOf, path: str) -> None:
    assert (await client_of("admin").get(path)).status_code == 404
