# SPDX-License-Identifier: Apache-2.0
"""A job is followed by another of the same laboratory: in the same topic, or in the next one."""

from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def next_topic(world: World, **values: object) -> str:
    facts = {"product_id": world.ids["RHEL"], "component_types": ["compose"], **values}
    topic_id = await world.add("topics", name="RHEL-10.0", **facts)
    await world.db.execute("update topics set next_topic_id = $1 where name = 'RHEL-9.6'", topic_id)
    return topic_id


async def test_an_update_is_a_new_job_with_the_newest_components(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    before = await world.job(name="nightly", tags=["x"])

    response = await alice.post(f"/jobs/{before}/update")

    assert response.status_code == 201
    job = response.json()["job"]
    assert response.headers["etag"] == job["etag"]
    assert (job["previous_job_id"], job["update_previous_job_id"]) == (before, before)
    assert (job["remoteci_id"], job["team_id"]) == (world.ids["blue_lab"], world.ids["Blue"])
    assert (job["name"], job["tags"], job["status"]) == ("", [], "new")
    read = (await alice.get(f"/jobs/{job['id']}")).json()["job"]
    assert [component["id"] for component in read["components"]] == [world.ids["compose"]]


async def test_an_upgrade_goes_to_the_next_topic_whoever_may_use_it(client_of: ClientOf, world: World) -> None:
    alice, before = client_of("alice"), await world.job()
    topic_id = await next_topic(world, state="inactive")
    await world.add("components", name="RHEL-10.0-1", display_name="RHEL-10.0-1", type="compose", topic_id=topic_id)

    response = await alice.post("/jobs/upgrade", json={"job_id": before})

    assert response.status_code == 201
    job = response.json()["job"]
    assert (job["topic_id"], job["previous_job_id"], job["update_previous_job_id"]) == (topic_id, before, None)


async def test_without_a_next_topic_there_is_no_upgrade(client_of: ClientOf, world: World) -> None:
    response = await client_of("alice").post("/jobs/upgrade", json={"job_id": await world.job()})

    assert response.status_code == 400
    assert response.json()["message"] == f"topic {world.ids['RHEL-9.6']} does not contains a next topic"


async def test_a_next_topic_without_components_creates_nothing(client_of: ClientOf, world: World) -> None:
    before = await world.job()
    await next_topic(world)

    response = await client_of("alice").post("/jobs/upgrade", json={"job_id": before})

    assert response.status_code == 412
    assert response.json()["message"] == 'Component of type "compose" not found or not exported.'
    assert await world.count("jobs") == 1


@pytest.mark.parametrize(("who", "status"), [("blue_lab", 201), ("epm", 201), ("bob", 401), ("reader", 401)])
async def test_only_the_team_follows_up(client_of: ClientOf, world: World, who: str, status: int) -> None:
    before = await world.job()

    assert (await client_of(who).post(f"/jobs/{before}/update")).status_code == status


async def test_an_unknown_job_cannot_be_followed(client_of: ClientOf) -> None:
    alice = client_of("alice")

    assert (await alice.post(f"/jobs/{uuid4()}/update")).json()["message"] == "job not found"
    assert (await alice.post("/jobs/upgrade", json={"job_id": str(uuid4())})).json()["message"] == "job not found"
