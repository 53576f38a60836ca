# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def component(world: World, name: str, **values: object) -> str:
    facts = {"display_name": name, "type": "rpm", "topic_id": world.ids["RHEL-9.6"], **values}
    return await world.add("components", name=name, **facts)


async def test_a_component_is_attached_once_and_taken_off(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    rpm = await component(world, "a-1")
    before = (await lab.get(f"/jobs/{job}")).json()["job"]["etag"]

    attached = [await lab.post(f"/jobs/{job}/components", json={"id": rpm}) for _ in range(2)]
    listed = (await lab.get(f"/jobs/{job}/components")).json()
    detached = [await lab.delete(f"/jobs/{job}/components/{rpm}") for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in attached] == [(201, b"")] * 2
    assert ([each["id"] for each in listed["components"]], listed["_meta"]) == ([rpm], {"count": 1})
    assert [(answer.status_code, answer.content) for answer in detached] == [(201, b"")] * 2
    after = (await lab.get(f"/jobs/{job}")).json()["job"]
    assert (after["components"], after["etag"][:16] == before[:16]) == ([], True)


async def test_what_is_missing_is_named(client_of: ClientOf, world: World) -> None:
    lab, job, rpm = client_of("blue_lab"), await world.job(), await component(world, "a-1")
    gone = await component(world, "a-2", state="archived")

    answers = [
        await lab.post(f"/jobs/{uuid4()}/components", json={"id": rpm}),
        await lab.post(f"/jobs/{job}/components", json={"id": str(uuid4())}),
        await lab.post(f"/jobs/{job}/components", json={"id": gone}),
        await lab.delete(f"/jobs/{job}/components/{uuid4()}"),
        await lab.delete(f"/jobs/{uuid4()}/components/{rpm}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5
    messages = [answer.json()["message"] for answer in answers]
    assert messages == ["job not found", *["component not found"] * 3, "job not found"]


@pytest.mark.parametrize(("who", "status"), [("alice", 201), ("epm", 201), ("bob", 401), ("reader", 401)])
async def test_only_the_team_of_the_job_attaches(client_of: ClientOf, world: World, who: str, status: int) -> None:
    job, rpm = await world.job(), await component(world, "a-1")

    response = await client_of(who).post(f"/jobs/{job}/components", json={"id": rpm})

    assert response.status_code == status
    assert await world.count("jobs_components") == (status == 201)


async def test_a_component_of_another_team_needs_a_grant(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    theirs = await component(world, "red-1", team_id=world.ids["Red"])

    refused = await lab.post(f"/jobs/{job}/components", json={"id": theirs})
    await world.add("teams_components_access", team_id=world.ids["Blue"], access_team_id=world.ids["Red"])
    granted = await lab.post(f"/jobs/{job}/components", json={"id": theirs})

    assert (refused.status_code, granted.status_code) == (401, 201)
