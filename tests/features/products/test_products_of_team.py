# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

from tests.conftest import ClientOf, World


async def test_the_products_of_a_team_are_listed_without_topics(client_of: ClientOf, world: World) -> None:
    old = await world.add("products", name="Old", label="OLD", state="archived")
    await world.add("products_teams", product_id=old, team_id=world.ids["Blue"])

    response = await client_of("alice").get(f"/teams/{world.ids['Blue']}/products?whatever=1")

    products = response.json()["products"]
    assert response.json()["_meta"] == {"count": 1}
    assert [product["name"] for product in products] == ["RHEL"]
    assert "topics" not in products[0]


async def test_who_sees_the_products_of_a_team(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update teams set state = 'archived' where name = 'Red'")
    path = f"/teams/{world.ids['Blue']}/products"
    for who, status in (
        ("alice", 200), ("blue_lab", 200), ("blue_feeder", 200), ("epm", 200), ("admin", 200),
        ("bob", 401), ("reader", 401), ("nobody", 401),
    ):  # fmt: skip
        assert (await client_of(who).get(path)).status_code == status
    for team in (uuid4(), world.ids["Red"]):
        assert (await client_of("epm").get(f"/teams/{team}/products")).status_code == 404
        assert (await client_of("alice").get(f"/teams/{team}/products")).status_code == 401
