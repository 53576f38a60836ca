# SPDX-License-Identifier: Apache-2.0
import asyncio
from uuid import uuid4

import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.features.teams.test_change_team import team_named
from tests.waiting import until_heard


@pytest.mark.parametrize("way", ["DELETE", "PUT"])
async def test_a_deleted_team_takes_what_it_has_with_it(
    app: Application, client_of: ClientOf, world: World, way: str
) -> None:
    await until_heard(app)
    admin, blue, red = client_of("admin"), await team_named(client_of, world, "Blue"), world.ids["Red"]
    await world.add("users_teams", user_id=world.ids["user nobody"], team_id=blue["id"])
    job, other = await world.job("blue_lab"), await world.job("red_lab")
    upload = await client_of("blue_lab").post("/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": job})
    file_id = upload.json()["file"]["id"]

    response = await admin.request(
        way, f"/teams/{blue['id']}", json={"state": "archived"}, headers={"If-match": blue["etag"]}
    )

    assert response.status_code == (204 if way == "DELETE" else 200)
    if way == "PUT":
        assert response.json()["team"]["state"] == "archived"
    for path in (f"/teams/{blue['id']}", f"/jobs/{job}", f"/files/{file_id}", f"/remotecis/{world.ids['blue_lab']}"):
        assert (await admin.get(path)).status_code == 404
    assert [team["name"] for team in (await admin.get("/teams?where=name:Blue")).json()["teams"]] == []
    jobs = (await admin.get("/jobs")).json()
    assert ([found["id"] for found in jobs["jobs"]], jobs["_meta"]["count"]) == ([other], 1)
    # All of its users, and none of the others.
    left = await world.db.fetch("select team_id::text from users_teams order by team_id")
    assert blue["id"] not in {row["team_id"] for row in left}
    assert red in {row["team_id"] for row in left}
    assert (await client_of("alice").get("/identity")).json()["identity"]["teams"] == {}
    assert (await client_of("red_lab").get(f"/jobs/{other}")).status_code == 200
    assert (await client_of("blue_lab").get("/identity")).status_code == 401
    # Feeders, links to products and what was granted stay for a purge.
    assert await world.db.fetchval("select state from feeders where name = 'blue_feeder'") == "active"
    assert await world.count("products_teams") == 2
    refused = await client_of("blue_feeder").get("/identity")
    assert (refused.status_code, refused.json()["message"]) == (412, "team Blue not active")


async def test_of_ten_deletions_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    admin, blue = client_of("admin"), await team_named(client_of, world, "Blue")

    answers = await asyncio.gather(
        *(admin.delete(f"/teams/{blue['id']}", headers={"If-match": blue["etag"]}) for _ in range(10))
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 404, 409}


async def test_refusals_come_in_the_order_412_404_401_409(client_of: ClientOf, world: World) -> None:
    path, stale = f"/teams/{world.ids['Blue']}", {"If-match": "0" * 32}

    answers = [
        await client_of("epm").delete(path),
        await client_of("epm").delete(f"/teams/{uuid4()}", headers=stale),
        await client_of("epm").delete(path, headers=stale),
        await client_of("admin").delete(path, headers=stale),
    ]

    assert [answer.status_code for answer in answers] == [412, 404, 401, 409]
    assert answers[3].json()["message"] == "delete failed, either team already deleted or etag not matched"


@pytest.mark.parametrize("way", ["DELETE", "PUT"])
async def test_only_super_admins_delete_a_team(client_of: ClientOf, world: World, way: str) -> None:
    blue = await team_named(client_of, world, "Blue")
    for who in ("epm", "alice", "reader", "nobody", "blue_lab", "blue_feeder"):
        response = await client_of(who).request(
            way, f"/teams/{blue['id']}", json={"state": "archived"}, headers={"If-match": blue["etag"]}
        )
        assert response.status_code == 401


async def test_archived_teams_are_purged_with_all_they_had(client_of: ClientOf, world: World) -> None:
    admin, blue = client_of("admin"), await team_named(client_of, world, "Blue")
    job = await world.job("blue_lab")
    await client_of("blue_lab").post("/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": job})
    await admin.delete(f"/teams/{blue['id']}", headers={"If-match": blue["etag"]})

    listed = await admin.get("/teams/purge")
    refused = [(await client_of("epm").request(method, "/teams/purge")).status_code for method in ("GET", "POST")]
    purged = await admin.post("/teams/purge")

    assert [team["name"] for team in listed.json()["teams"]] == ["Blue"]
    assert refused == [401, 401]
    assert (purged.status_code, purged.content) == (204, b"")
    assert (await admin.get("/teams/purge")).json() == {"teams": [], "_meta": {"count": 0}}
    counts = {table: await world.count(table) for table in ("teams", "jobs", "files", "remotecis", "feeders")}
    assert counts == {"teams": 4, "jobs": 0, "files": 0, "remotecis": 1, "feeders": 0}
    assert (await admin.post("/teams", json={"name": "Blue"})).status_code == 201


async def test_a_purge_that_others_depend_on_deletes_nothing(client_of: ClientOf, world: World) -> None:
    admin, blue = client_of("admin"), await team_named(client_of, world, "Blue")
    job = await world.job("blue_lab")
    await world.job("red_lab", previous_job_id=job)
    await admin.delete(f"/teams/{blue['id']}", headers={"If-match": blue["etag"]})

    response = await admin.post("/teams/purge")

    assert response.status_code == 409
    assert response.json()["message"].startswith("nothing was deleted: jobs still refer to archived")
    assert await world.count("jobs") == 2
