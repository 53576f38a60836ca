# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

from tests.conftest import ClientOf, World


async def test_the_list_is_that_of_remotecis_of_one_team(client_of: ClientOf, world: World) -> None:
    await world.add("remotecis", name="old", team_id=world.ids["Blue"], state="archived")
    await world.add("remotecis", name="second", team_id=world.ids["Blue"])
    path = f"/teams/{world.ids['Blue']}/remotecis"

    everything = (await client_of("epm").get(f"{path}?sort=name")).json()
    same = (await client_of("alice").get("/remotecis?sort=name")).json()
    page = (await client_of("alice").get(f"{path}?sort=-name&limit=1&offset=0&where=state:active")).json()

    assert [remoteci["name"] for remoteci in everything["remotecis"]] == ["blue_lab", "second"]
    assert everything == same
    assert [remoteci["name"] for remoteci in page["remotecis"]] == ["second"]
    assert page["_meta"] == {"count": 2}
    assert page["remotecis"][0]["team"]["name"] == "Blue"


async def test_refusals_come_in_the_order_401_404_400(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update teams set state = 'archived' where name = 'Red'")
    epm = client_of("epm")

    answers = [
        await client_of("alice").get(f"/teams/{uuid4()}/remotecis?foo=1"),
        await epm.get(f"/teams/{uuid4()}/remotecis?foo=1"),
        await epm.get(f"/teams/{world.ids['Red']}/remotecis"),
        await epm.get(f"/teams/{world.ids['Blue']}/remotecis?foo=1"),
        await epm.get(f"/teams/{world.ids['Blue']}/remotecis?where=api_secret:x"),
    ]

    assert [answer.status_code for answer in answers] == [401, 404, 404, 400, 400]


async def test_who_sees_the_remotecis_of_a_team(client_of: ClientOf, world: World) -> None:
    path = f"/teams/{world.ids['Blue']}/remotecis"
    for who, status in (
        ("alice", 200), ("blue_lab", 200), ("blue_feeder", 200), ("epm", 200), ("admin", 200),
        ("bob", 401), ("reader", 401), ("nobody", 401), ("red_lab", 401),
    ):  # fmt: skip
        response = await client_of(who).get(path)
        assert response.status_code == status
        assert "secret" not in response.text
