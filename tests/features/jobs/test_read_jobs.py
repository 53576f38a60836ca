# SPDX-License-Identifier: Apache-2.0
from datetime import datetime
from uuid import uuid4

import msgspec
import pytest

from dci_server.features.jobs.model import JobAnswer, JobsAnswer
from tests.conftest import ClientOf, World


@pytest.mark.parametrize(
    ("who", "status"), [("alice", 200), ("blue_lab", 200), ("reader", 200), ("epm", 200), ("admin", 200), ("bob", 404),
                        ("red_lab", 404), ("nobody", 404)],
)  # fmt: skip
async def test_who_sees_a_blue_job(client_of: ClientOf, world: World, who: str, status: int) -> None:
    job = await world.job()

    response = await client_of(who).get(f"/jobs/{job}")

    assert response.status_code == status


async def test_the_answers_are_what_the_shapes_say(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    job = (await lab.post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})).json()["job"]["id"]
    await lab.post("/jobstates", json={"job_id": job, "status": "running"})
    await lab.post("/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": job})

    one = await lab.get(f"/jobs/{job}")
    several = await lab.get("/jobs")

    read = msgspec.json.decode(one.content, type=JobAnswer, strict=True)
    assert [state.status for state in read.job.jobstates] == ["running"]
    assert [file.name for file in read.job.files] == ["x"]
    assert msgspec.json.decode(several.content, type=JobsAnswer).meta.count == 1
    assert "data" not in several.json()["jobs"][0]


@pytest.mark.parametrize(("who", "count"), [("alice", 2), ("bob", 1), ("reader", 3), ("admin", 3), ("nobody", 0)])
async def test_a_list_counts_what_its_caller_sees(client_of: ClientOf, world: World, who: str, count: int) -> None:
    for lab in ("blue_lab", "blue_lab", "red_lab"):
        await world.job(lab)

    answer = (await client_of(who).get("/jobs", params={"limit": 1, "offset": 0})).json()

    assert answer["_meta"]["count"] == count
    assert len(answer["jobs"]) == min(count, 1)


async def test_the_count_follows_archived_and_deleted_jobs(client_of: ClientOf, world: World) -> None:
    kept, archived, gone = [await world.job() for _ in range(3)]
    await world.db.execute("update jobs set state = 'archived' where id = $1", archived)
    await world.db.execute("delete from jobs where id = $1", gone)

    answer = (await client_of("alice").get("/jobs")).json()

    assert answer["_meta"]["count"] == 1
    assert [job["id"] for job in answer["jobs"]] == [kept]


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"where": "name:a"}, ["a"]),
        ({"where": "tags:x"}, ["b", "a"]),
        ({"where": "tags:x,tags:y"}, ["b"]),
        ({"where": "status:NEW", "sort": "name"}, ["a", "b", "c"]),
        ({"query": "or(eq(name,a),eq(name,c))", "sort": "-name"}, ["c", "a"]),
        ({"query": "eq(name,a),contains(tags,x)"}, ["a"]),
        ({"query": "and(ilike(name,A%),not(null(name))))"}, ["a"]),
        ({"where": "id:00000000-0000-0000-0000-000000000000"}, []),
        ({"created_after": "2020-01-01"}, ["c", "b", "a"]),
        ({"created_after": "2999-01-01T00:00:00.0"}, []),
        ({"embed": "topic,remoteci"}, ["c", "b", "a"]),
        ({"limit": "1", "offset": "1"}, ["b"]),
    ],
)
async def test_the_list_is_narrowed_and_sorted(
    client_of: ClientOf, world: World, parameters: dict[str, str], names: list[str]
) -> None:
    await world.job(name="a", tags=["x"])
    await world.job(name="b", tags=["x", "y"])
    await world.job(name="c")

    response = await client_of("alice").get("/jobs", params=parameters)

    assert [job["name"] for job in response.json()["jobs"]] == names


@pytest.mark.parametrize(
    "query",
    ["limit=0&offset=0", "limit=1", "foo=1", "where=foo:1", "where=x", "where=data:x", "sort=secret", "query=eq(",
     "query=eq(sealed_secret,x)", "where=id:zzz", "created_after=yesterday-ish", "offset=99999999999999999999&limit=1",
     "where=name:%00"],
)  # fmt: skip
async def test_a_bad_parameter_is_a_400_that_explains(client_of: ClientOf, query: str) -> None:
    response = await client_of("alice").get(f"/jobs?{query}")

    assert response.status_code == 400
    assert response.json()["status_code"] == 400
    assert response.json()["message"]


async def test_an_absent_job_is_not_found(client_of: ClientOf) -> None:
    response = await client_of("alice").get(f"/jobs/{uuid4()}")

    assert response.status_code == 404
    assert response.json() == {"message": "job not found", "payload": {}, "status_code": 404}


async def test_a_moment_is_the_same_text_in_every_answer(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    created = (await lab.post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})).json()["job"]
    moment = datetime(2026, 1, 2, 3, 4, 5, 120_000)
    await world.db.execute("update jobs set created_at = $1 where id = $2", moment, created["id"])

    one = (await lab.get(f"/jobs/{created['id']}")).json()["job"]
    (listed,) = (await lab.get("/jobs")).json()["jobs"]
    component = (await lab.get(f"/components/{world.ids['compose']}")).json()["component"]

    assert {one["created_at"], listed["created_at"], component["jobs"][0]["created_at"]} == {"2026-01-02T03:04:05.12"}
