# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


@pytest.fixture
async def path(world: World) -> str:
    for lab in ("blue_lab", "red_lab"):
        job = await world.job(lab, name=lab)
        await world.add("jobs_components", job_id=job, component_id=world.ids["compose"])
    await world.job("blue_lab", name="without")
    return f"/topics/{world.ids['RHEL-9.6']}/components/{world.ids['compose']}/jobs"


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("alice", ["blue_lab"]),
        ("red_lab", ["red_lab"]),
        ("reader", ["red_lab", "blue_lab"]),
        ("epm", ["red_lab", "blue_lab"]),
    ],
)
async def test_the_jobs_that_used_a_component_are_those_the_caller_sees(
    client_of: ClientOf, path: str, who: str, names: list[str]
) -> None:
    response = await client_of(who).get(path)

    assert response.status_code == 200
    assert [job["name"] for job in response.json()["jobs"]] == names
    assert response.json()["_meta"] == {"count": len(names)}


async def test_they_are_listed_by_the_list_parameters(client_of: ClientOf, path: str) -> None:
    epm = client_of("epm")

    one = (await epm.get(path + "?limit=1&offset=1&sort=name")).json()
    blue = (await epm.get(path + "?where=name:blue_lab")).json()

    assert ([job["name"] for job in one["jobs"]], one["_meta"]) == (["red_lab"], {"count": 2})
    assert ([job["name"] for job in blue["jobs"]], blue["_meta"]) == (["blue_lab"], {"count": 1})
    assert (await epm.get(path + "?where=nonsense:1")).status_code == 400


async def test_the_component_must_be_one_of_the_topic(client_of: ClientOf, world: World, path: str) -> None:
    other = await world.add("topics", name="other", product_id=world.ids["RHEL"], export_control=True)

    response = await client_of("alice").get(path.replace(world.ids["RHEL-9.6"], other))

    assert (response.status_code, response.json()["message"]) == (404, "component not found")


@pytest.mark.parametrize(
    ("owner", "who", "status"), [("Red", "alice", 401), (None, "nobody", 401), ("Blue", "alice", 200)]
)
async def test_who_may_ask_for_them(
    client_of: ClientOf, world: World, path: str, owner: str | None, who: str, status: int
) -> None:
    await world.db.execute("update components set team_id = $1", world.ids[owner] if owner else None)

    assert (await client_of(who).get(path)).status_code == status
