# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from tests.conftest import ClientOf, World


async def test_a_pipeline_lives_from_creation_to_deletion(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")

    created = await lab.post("/pipelines", json={"name": "nightly", "team_id": world.ids["Blue"]})

    assert created.status_code == 201
    pipeline = created.json()["pipeline"]
    assert (pipeline["name"], pipeline["state"], pipeline["team_id"]) == ("nightly", "active", world.ids["Blue"])
    read = (await lab.get(f"/pipelines/{pipeline['id']}")).json()["pipeline"]
    assert read["team"]["name"] == "Blue"
    changed = await lab.put(
        f"/pipelines/{pipeline['id']}", json={"name": "weekly"}, headers={"If-match": pipeline["etag"]}
    )
    assert (changed.status_code, changed.json()["pipeline"]["name"]) == (200, "weekly")
    listed = (await lab.get("/pipelines", params={"where": "name:weekly,state:active"})).json()
    assert ([each["id"] for each in listed["pipelines"]], listed["_meta"]) == ([pipeline["id"]], {"count": 1})
    etag = changed.headers["etag"]
    assert (await lab.delete(f"/pipelines/{pipeline['id']}", headers={"If-match": etag})).status_code == 204
    assert (await lab.get(f"/pipelines/{pipeline['id']}")).json()["message"] == "pipeline not found"


async def test_a_change_of_the_name_does_not_reactivate_a_pipeline(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    pipeline_id = await world.add("pipelines", name="p", team_id=world.ids["Blue"], state="inactive")
    etag = (await alice.get(f"/pipelines/{pipeline_id}")).json()["pipeline"]["etag"]

    changed = await alice.put(f"/pipelines/{pipeline_id}", json={"name": "q"}, headers={"If-match": etag})

    assert changed.json()["pipeline"]["state"] == "inactive"


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    pipeline_id = await world.add("pipelines", name="p", team_id=world.ids["Blue"])
    etag = (await alice.get(f"/pipelines/{pipeline_id}")).json()["pipeline"]["etag"]

    answers = await asyncio.gather(
        *(alice.put(f"/pipelines/{pipeline_id}", json={"name": str(n)}, headers={"If-match": etag}) for n in range(10))
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 9


@pytest.mark.parametrize(("who", "status"), [("bob", 401), ("red_lab", 401), ("reader", 401), ("epm", 201)])
async def test_a_pipeline_is_made_by_the_team(client_of: ClientOf, world: World, who: str, status: int) -> None:
    new = {"name": "p", "team_id": world.ids["Blue"]}

    assert (await client_of(who).post("/pipelines", json=new)).status_code == status


async def test_a_pipeline_lists_its_jobs_oldest_first_to_those_who_may_see_them(
    client_of: ClientOf, world: World
) -> None:
    pipeline_id = await world.add("pipelines", name="p", team_id=world.ids["Blue"])
    first = await world.job(pipeline_id=pipeline_id)
    second = await world.job(pipeline_id=pipeline_id)
    foreign = await world.job("red_lab", pipeline_id=pipeline_id)
    await world.job(pipeline_id=pipeline_id, state="archived")

    alice, reader = client_of("alice"), client_of("reader")
    listed = (await alice.get(f"/pipelines/{pipeline_id}/jobs")).json()

    assert [job["id"] for job in listed["jobs"]] == [first, second]
    assert listed["_meta"] == {"count": 2}
    assert {"team", "remoteci", "components", "results", "data"} <= listed["jobs"][0].keys()
    everything = (await reader.get(f"/pipelines/{pipeline_id}/jobs")).json()
    assert [job["id"] for job in everything["jobs"]] == [first, second, foreign]
    assert (await client_of("bob").get(f"/pipelines/{pipeline_id}/jobs")).status_code == 401
