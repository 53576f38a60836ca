# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until_heard

STALE = "update failed, either team not found or etag not matched"
KEEPS_ROLE = "the team carries a role: it can't be renamed, archived or deleted, and the admin team stays active"


async def team_named(client_of: ClientOf, world: World, name: str) -> dict[str, Any]:
    return (await client_of("admin").get(f"/teams/{world.ids[name]}")).json()["team"]


async def change(client_of: ClientOf, team: dict[str, Any], who: str = "epm", **body: object) -> httpx.Response:
    return await client_of(who).put(f"/teams/{team['id']}", json=body, headers={"If-match": team["etag"]})


async def test_a_whole_team_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    blue = await team_named(client_of, world, "Blue")

    response = await change(client_of, blue, **dict[str, Any](blue, country="FR", external=True))

    team = response.json()["team"]
    assert response.status_code == 200
    assert response.headers["etag"] == team["etag"] != blue["etag"]
    assert (team["name"], team["country"], team["external"]) == ("Blue", "FR", True)
    assert "remotecis" not in team


async def test_what_the_server_decides_is_not_changed(client_of: ClientOf, world: World) -> None:
    blue = await team_named(client_of, world, "Blue")
    sent: dict[str, Any] = {"id": str(uuid4()), "etag": "0" * 32, "created_at": "2000-01-01T00:00:00", "role": "super_admin",
            "updated_at": "2000-01-01T00:00:00", "remotecis": [], "users": [world.ids["user bob"]]}  # fmt: skip

    response = await change(client_of, blue, **sent)

    after = await team_named(client_of, world, "Blue")
    assert response.status_code == 200
    assert {**after, "etag": "", "updated_at": ""} == {**blue, "etag": "", "updated_at": ""}
    assert await world.db.fetchval("select role from teams where name = 'Blue'") is None


async def test_a_new_team_is_only_what_may_be_said_of_it(client_of: ClientOf, world: World) -> None:
    before = await world.count("teams")
    for forbidden in ("id", "etag", "created_at", "updated_at", "role", "remotecis", "team_id"):
        response = await client_of("admin").post("/teams", json={"name": "New", forbidden: "x"})

        assert response.status_code == 400
        assert response.json()["payload"]["error"] == (
            f"Additional properties are not allowed ('{forbidden}' was unexpected)"
        )
    for name in ("a\nb", "x" * 256):
        assert (await client_of("admin").post("/teams", json={"name": name})).status_code == 400
    assert await world.count("teams") == before


async def test_a_country_can_be_taken_back(client_of: ClientOf, world: World) -> None:
    with_country = (await change(client_of, await team_named(client_of, world, "Blue"), country="FR")).json()["team"]

    without = (await change(client_of, with_country, country=None)).json()["team"]

    assert (with_country["country"], without["country"]) == ("FR", None)


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    blue = await team_named(client_of, world, "Blue")

    answers = await asyncio.gather(*(change(client_of, blue, country=str(n)) for n in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["message"] for answer in answers if answer.status_code == 409} == {STALE}


async def test_an_inactive_team_is_refused_on_the_next_request(
    app: Application, client_of: ClientOf, world: World
) -> None:
    await until_heard(app)
    lab = client_of("blue_lab")
    before = [(await lab.get("/identity")).status_code for _ in range(2)]

    response = await change(client_of, await team_named(client_of, world, "Blue"), state="inactive")

    after = await lab.get("/identity")
    assert (before, response.status_code) == ([200, 200], 200)
    assert (after.status_code, after.json()["message"]) == (412, "team Blue not active")
    assert (await client_of("alice").get("/identity")).json()["identity"]["teams"] == {}


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_taken_name_is_refused_in_our_words(client_of: ClientOf, world: World, method: str) -> None:
    blue = await team_named(client_of, world, "Blue")
    await world.db.execute("update teams set state = 'archived' where name = 'Red'")
    path = "/teams" if method == "POST" else f"/teams/{blue['id']}"

    response = await client_of("epm").request(method, path, json={"name": "Red"}, headers={"If-match": blue["etag"]})

    verb = "create" if method == "POST" else "update"
    assert response.status_code == 409
    assert response.json()["message"] == f"We are unable to {verb} this resource. A similar resource already exists."
    assert response.json()["payload"] == {"error": {"name": "already_exists"}}


async def test_a_malformed_change_is_explained(client_of: ClientOf, world: World) -> None:
    blue = await team_named(client_of, world, "Blue")
    wrong: list[tuple[Any, str]] = [
        ({"name": None}, "name: None is not of type 'string'"),
        ({"external": "yes"}, "'yes' is not of type 'boolean'"),
        ({"country": 1}, "1 is not of type 'string', 'null'"),
        ({"state": "gone"}, "'gone' is not one of ['active', 'inactive', 'archived']"),
    ]
    for body, error in wrong:
        response = await change(client_of, blue, **body)

        assert (response.status_code, response.json()["payload"]["errors"]) == (400, [error])
    for body in ({"name": "a\x00b"}, {"name": "a\tb"}, {"name": "x" * 256}, {"country": "\x9b"}):
        assert (await change(client_of, blue, **body)).status_code == 400
    assert await team_named(client_of, world, "Blue") == blue


async def test_refusals_come_in_the_order_412_400_401_404_409(client_of: ClientOf, world: World) -> None:
    path, stale = f"/teams/{world.ids['Blue']}", {"If-match": "0" * 32}
    alice, epm = client_of("alice"), client_of("epm")

    answers = [
        await alice.put(path, json={"name": 1}),
        await alice.put(path, json={"name": 1}, headers=stale),
        await alice.put(f"/teams/{uuid4()}", json={}, headers=stale),
        await epm.put(f"/teams/{uuid4()}", json={}, headers=stale),
        await epm.put(path, json={}, headers=stale),
    ]

    assert [answer.status_code for answer in answers] == [412, 400, 401, 404, 409]
    assert answers[4].json()["message"] == STALE


async def test_others_change_no_team(client_of: ClientOf, world: World) -> None:
    blue = await team_named(client_of, world, "Blue")
    for who in ("alice", "bob", "reader", "nobody", "blue_lab", "blue_feeder"):
        assert (await change(client_of, blue, who, country="FR")).status_code == 401


# --- the teams with a role (decision 11) ---


@pytest.mark.parametrize("name", ["admin", "EPM", "Red Hat"])
async def test_a_team_with_a_role_keeps_its_name_and_stays(client_of: ClientOf, world: World, name: str) -> None:
    team = await team_named(client_of, world, name)

    by_epm = await change(client_of, team, "epm", country="FR")
    renamed = await change(client_of, team, "admin", name="other")
    archived = await change(client_of, team, "admin", state="archived")
    deleted = await client_of("admin").delete(f"/teams/{team['id']}", headers={"If-match": team["etag"]})
    sent_back = await change(client_of, team, "admin", **{**team, "country": "FR"})

    assert by_epm.status_code == 401
    for refused in (renamed, archived, deleted):
        assert (refused.status_code, refused.json()["message"]) == (409, KEEPS_ROLE)
    assert sent_back.status_code == 200
    assert sent_back.json()["team"] == {
        **{key: team[key] for key in sent_back.json()["team"]},
        "country": "FR", "etag": sent_back.headers["etag"], "updated_at": sent_back.json()["team"]["updated_at"],
    }  # fmt: skip


async def test_the_admin_team_stays_active(client_of: ClientOf, world: World) -> None:
    admin = await change(client_of, await team_named(client_of, world, "admin"), "admin", state="inactive")
    epm = await change(client_of, await team_named(client_of, world, "EPM"), "admin", state="inactive")

    assert (admin.status_code, admin.json()["message"]) == (409, KEEPS_ROLE)
    assert epm.status_code == 200
    assert (await client_of("epm").get("/users")).status_code == 401


async def test_a_role_is_bound_to_the_team_and_not_to_its_name(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update teams set name = 'Staff' where name = 'EPM'")
    created = await client_of("admin").post("/teams", json={"name": "EPM"})
    await world.add("users_teams", user_id=world.ids["user bob"], team_id=created.json()["team"]["id"])

    assert (await client_of("epm").get("/users")).status_code == 200
    assert (await client_of("bob").get("/users")).status_code == 401
