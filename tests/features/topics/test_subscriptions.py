# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from tests.conftest import ClientOf, World


async def test_a_user_subscribes_and_sees_what_is_subscribed(client_of: ClientOf, world: World) -> None:
    alice, topic_id = client_of("alice"), world.ids["RHEL-9.6"]
    nothing = (await alice.get("/topics/notifications")).json()

    response = await alice.post(f"/topics/{topic_id}/notifications", json={})

    assert response.status_code == 201
    assert response.json() == {"topic_id": topic_id, "user_id": world.ids["user alice"]}
    assert nothing == {"topics": [], "_meta": {"count": 0}}
    listed = (await alice.get("/topics/notifications")).json()
    assert ([topic["name"] for topic in listed["topics"]], listed["_meta"]) == (["RHEL-9.6"], {"count": 1})
    assert (await client_of("bob").get("/topics/notifications")).json()["topics"] == []


async def test_subscribing_twice_is_a_conflict(client_of: ClientOf, world: World) -> None:
    alice, path = client_of("alice"), f"/topics/{world.ids['RHEL-9.6']}/notifications"

    responses = await asyncio.gather(*(alice.post(path) for _ in range(3)))

    assert sorted(response.status_code for response in responses) == [201, 409, 409]
    refused = next(response for response in responses if response.status_code == 409)
    assert refused.json()["message"] == "We are unable to create this resource. A similar resource already exists."
    assert await world.count("users_topics") == 1


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("admin", 201),
        ("epm", 201),
        ("reader", 201),
        ("bob", 201),
        ("nobody", 401),
        ("blue_lab", 409),
        ("blue_feeder", 409),
    ],
)
async def test_who_subscribes(client_of: ClientOf, world: World, who: str, status: int) -> None:
    response = await client_of(who).post(f"/topics/{world.ids['RHEL-9.6']}/notifications")

    assert response.status_code == status
    assert await world.count("users_topics") == (1 if status == 201 else 0)


@pytest.mark.parametrize("who", ["alice", "nobody", "reader", "blue_lab"])
async def test_unsubscribing_is_possible_for_anybody_at_any_time(client_of: ClientOf, world: World, who: str) -> None:
    caller, path = client_of(who), f"/topics/{world.ids['RHEL-9.6']}/notifications"
    await world.add("users_topics", user_id=world.ids["user bob"], topic_id=world.ids["RHEL-9.6"])
    await caller.post(path)

    statuses = [(await caller.delete(path)).status_code for _ in range(2)]

    assert statuses == [204, 204]
    assert str(await world.db.fetchval("select user_id from users_topics")) == world.ids["user bob"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_an_archived_topic_cannot_be_subscribed_to(client_of: ClientOf, world: World, method: str) -> None:
    await world.db.execute("update topics set state = 'archived'")

    response = await client_of("alice").request(method, f"/topics/{world.ids['RHEL-9.6']}/notifications")

    assert (response.status_code, response.json()["message"]) == (404, "topic not found")


async def test_a_subscription_shows_no_topic_that_is_no_longer_the_callers(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    await alice.post(f"/topics/{world.ids['RHEL-9.6']}/notifications")
    await world.db.execute("delete from products_teams where team_id = $1", world.ids["Blue"])

    assert (await alice.get("/topics/notifications")).json() == {"topics": [], "_meta": {"count": 0}}


async def test_the_subscribers_of_a_topic_are_listed_without_archived_ones(client_of: ClientOf, world: World) -> None:
    epm, path = client_of("epm"), f"/topics/{world.ids['RHEL-9.6']}/notifications/users"
    nobody = (await epm.get(path)).json()
    for user in ("alice", "bob"):
        await world.add("users_topics", user_id=world.ids[f"user {user}"], topic_id=world.ids["RHEL-9.6"])
    await world.db.execute("update users set state = 'archived' where id = $1", world.ids["user bob"])

    response = await epm.get(path)

    assert nobody == {"users": [], "_meta": {"count": 0}}
    assert [user["name"] for user in response.json()["users"]] == ["alice"]
    assert response.json()["_meta"] == {"count": 1}
    assert "password" not in response.text


@pytest.mark.parametrize(("who", "status"), [("admin", 200), ("reader", 401), ("alice", 401), ("blue_feeder", 401)])
async def test_who_lists_the_subscribers(client_of: ClientOf, world: World, who: str, status: int) -> None:
    response = await client_of(who).get(f"/topics/{world.ids['RHEL-9.6']}/notifications/users")

    assert response.status_code == status


async def test_an_absent_topic_has_no_list_of_subscribers(client_of: ClientOf) -> None:
    response = await client_of("epm").get("/topics/00000000-0000-4000-8000-000000000000/notifications/users")

    assert (response.status_code, response.json()["message"]) == (404, "topic not found")
