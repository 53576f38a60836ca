# SPDX-License-Identifier: Apache-2.0
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def granted(client_of: ClientOf, world: World, team: str) -> list[str]:
    answer = (await client_of("epm").get(f"/teams/{world.ids[team]}/permissions/components")).json()
    assert answer["_meta"] == {"count": len(answer["teams"])}
    return [found["name"] for found in answer["teams"]]


async def test_a_granted_team_reads_components_until_it_is_taken_back(client_of: ClientOf, world: World) -> None:
    epm, path = client_of("epm"), f"/teams/{world.ids['Blue']}/permissions/components"
    component = await world.add(
        "components", name="c", display_name="c", type="t", topic_id=world.ids["RHEL-9.6"], team_id=world.ids["Red"]
    )
    before = (await client_of("alice").get(f"/components/{component}")).status_code
    body = {"teams_ids": [world.ids["Red"], world.ids["Blue"], world.ids["Red"]]}

    added = [await epm.post(path, json=body) for _ in range(2)]
    read = (await client_of("alice").get(f"/components/{component}")).status_code
    other_way = await granted(client_of, world, "Red")
    names = await granted(client_of, world, "Blue")
    removed = [await epm.request("DELETE", path, json=body) for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in added] == [(201, b"")] * 2
    assert (before, read) == (401, 200)
    assert (names, other_way) == (["Red"], [])
    assert [answer.status_code for answer in removed] == [204, 204]
    assert await granted(client_of, world, "Blue") == []
    assert (await client_of("alice").get(f"/components/{component}")).status_code == 401


async def test_nothing_is_granted_when_one_team_is_unknown(client_of: ClientOf, world: World) -> None:
    gone = await world.add("teams", name="Gone", state="archived")
    epm, path = client_of("epm"), f"/teams/{world.ids['Blue']}/permissions/components"
    for method in ("POST", "DELETE"):
        for unknown in (str(uuid4()), gone):
            listed = await epm.request(method, path, json={"teams_ids": [world.ids["Red"], unknown]})
            of_path = await epm.request(method, f"/teams/{unknown}/permissions/components", json={"teams_ids": []})

            for answer in (listed, of_path):
                assert (answer.status_code, answer.json()["message"]) == (404, "team not found")
    assert (await epm.get(f"/teams/{gone}/permissions/components")).status_code == 404
    assert await granted(client_of, world, "Blue") == []


async def test_nothing_is_taken_back_when_one_team_is_unknown(client_of: ClientOf, world: World) -> None:
    await world.add("teams_components_access", team_id=world.ids["Blue"], access_team_id=world.ids["Red"])

    response = await client_of("epm").request(
        "DELETE",
        f"/teams/{world.ids['Blue']}/permissions/components",
        json={"teams_ids": [world.ids["Red"], str(uuid4())]},
    )

    assert response.status_code == 404
    assert await granted(client_of, world, "Blue") == ["Red"]


async def test_archived_teams_are_left_out(client_of: ClientOf, world: World) -> None:
    for team in ("Red", "EPM"):
        await world.add("teams_components_access", team_id=world.ids["Blue"], access_team_id=world.ids[team])
    await world.db.execute("update teams set state = 'archived' where name = 'Red'")

    assert await granted(client_of, world, "Blue") == ["EPM"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_bodies_are_checked_after_the_caller(client_of: ClientOf, world: World, method: str) -> None:
    path = f"/teams/{world.ids['Blue']}/permissions/components"
    wrong: list[tuple[Any, str]] = [
        ({"teams_ids": "x"}, "teams_ids: 'x' is not of type 'array'"),
        ({"teams": []}, "Additional properties are not allowed ('teams' was unexpected)"),
        ([], "[] is not of type 'object'"),
    ]
    for body, error in wrong:
        response = await client_of("epm").request(method, path, json=body)
        refused = await client_of("alice").request(method, path, json=body)

        assert (response.status_code, response.json()["payload"]["error"]) == (400, error)
        assert refused.status_code == 401
    no_id = await client_of("epm").request(method, path, json={"teams_ids": ["x"]})
    empty = await client_of("epm").request(method, path, json={})
    assert no_id.status_code == 400
    assert empty.status_code == (201 if method == "POST" else 204)


async def test_only_epms_and_super_admins_grant(client_of: ClientOf, world: World) -> None:
    path = f"/teams/{world.ids['Blue']}/permissions/components"
    for who in ("alice", "bob", "reader", "nobody", "blue_lab", "blue_feeder"):
        for method in ("GET", "POST", "DELETE"):
            response = await client_of(who).request(method, path, json={"teams_ids": [world.ids["Red"]]})
            assert response.status_code == 401
    assert await granted(client_of, world, "Blue") == []
