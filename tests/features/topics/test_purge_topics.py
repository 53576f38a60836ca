# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


async def test_a_purge_deletes_archived_topics_with_their_components(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    old = await world.add("topics", name="old", product_id=world.ids["RHEL"], state="archived")
    await world.add("topics", name="older", product_id=world.ids["RHEL"], state="archived", next_topic_id=old)
    await world.add("components", name="c", type="compose", topic_id=old, state="archived")

    listed = await admin.get("/topics/purge")
    response = await admin.post("/topics/purge")

    assert sorted(topic["name"] for topic in listed.json()["topics"]) == ["old", "older"]
    assert listed.json()["_meta"] == {"count": 2}
    assert (response.status_code, response.content) == (204, b"")
    assert (await world.count("topics"), await world.count("components")) == (1, 1)


async def test_a_topic_that_is_a_next_topic_is_not_purged(client_of: ClientOf, world: World) -> None:
    old = await world.add("topics", name="old", product_id=world.ids["RHEL"], state="archived")
    await world.db.execute("update topics set next_topic_id = $1 where id = $2", old, world.ids["RHEL-9.6"])
    await world.add("topics", name="another", product_id=world.ids["RHEL"], state="archived")

    response = await client_of("admin").post("/topics/purge")

    assert response.status_code == 409
    assert "topics still refer to archived topics" in response.json()["message"]
    assert await world.count("topics") == 3


async def test_a_purged_name_is_free_again(client_of: ClientOf, world: World) -> None:
    admin, body = client_of("admin"), {"name": "old", "product_id": world.ids["RHEL"]}
    await world.add("topics", name="old", product_id=world.ids["RHEL"], state="archived")

    before = await admin.post("/topics", json=body)
    await admin.post("/topics/purge")
    after = await admin.post("/topics", json=body)

    assert (before.status_code, after.status_code) == (409, 201)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("who", ["epm", "reader", "alice", "blue_feeder"])
async def test_a_purge_is_for_super_admins(client_of: ClientOf, world: World, who: str, method: str) -> None:
    await world.add("topics", name="old", product_id=world.ids["RHEL"], state="archived")

    response = await client_of(who).request(method, "/topics/purge")

    assert response.status_code == 401
    assert await world.count("topics") == 2
