# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


async def test_a_purge_deletes_what_is_archived_and_nothing_else(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    await world.add("products", name="old", label="OLD", state="archived")

    listed = await admin.get("/products/purge")
    response = await admin.post("/products/purge")

    assert [product["name"] for product in listed.json()["products"]] == ["old"]
    assert listed.json()["_meta"] == {"count": 1}
    assert (response.status_code, response.content) == (204, b"")
    assert (await admin.get("/products/purge")).json() == {"products": [], "_meta": {"count": 0}}
    assert await world.count("products") == 1


@pytest.mark.parametrize("state", ["active", "archived"])
async def test_a_product_that_has_topics_is_not_purged(client_of: ClientOf, world: World, state: str) -> None:
    await world.add("products", name="old", label="OLD", state="archived")
    await world.db.execute("update products set state = 'archived'")
    await world.db.execute("update topics set state = $1", state)

    response = await client_of("admin").post("/products/purge")

    assert response.status_code == 409
    assert "topics still refer to archived products" in response.json()["message"]
    assert await world.count("products") == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("who", ["epm", "reader", "alice", "blue_feeder"])
async def test_a_purge_is_for_super_admins(client_of: ClientOf, world: World, who: str, method: str) -> None:
    await world.add("products", name="old", label="OLD", state="archived")

    response = await client_of(who).request(method, "/products/purge")

    assert response.status_code == 401
    assert await world.count("products") == 2
