# SPDX-License-Identifier: Apache-2.0
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def _subscribers(client_of: ClientOf, remoteci_id: str) -> list[str]:
    response = await client_of("admin").get(f"/remotecis/{remoteci_id}/users")
    assert response.json()["_meta"]["count"] == len(response.json()["users"])
    return [user["name"] for user in response.json()["users"]]


@pytest.mark.parametrize("body", [None, {"user_id": "x"}, {"id": str(uuid4())}, [1]])
async def test_the_caller_is_subscribed_whoever_the_body_names(client_of: ClientOf, world: World, body: Any) -> None:
    lab, alice = world.ids["blue_lab"], client_of("alice")

    answers = [await alice.post(f"/remotecis/{lab}/users", json=body) for _ in range(2)]

    expected = {"user_id": world.ids["user alice"], "remoteci_id": lab}
    assert [(answer.status_code, answer.json()) for answer in answers] == [(201, expected)] * 2
    assert await _subscribers(client_of, lab) == ["alice"]
    embedded = (await alice.get(f"/remotecis/{lab}")).json()["remoteci"]["users"]
    assert embedded == (await alice.get(f"/remotecis/{lab}/users")).json()["users"]
    assert "password" not in str(embedded)


MEMBERS = ("alice", "blue_lab", "blue_feeder", "admin", "epm")
OTHERS = ("reader", "bob", "red_lab", "nobody")


async def test_who_subscribes_to_a_blue_remoteci(client_of: ClientOf, world: World) -> None:
    users, others = ("alice", "admin", "epm"), ("reader", "bob", "nobody")
    clients = ("blue_lab", "red_lab", "blue_feeder")
    path = f"/remotecis/{world.ids['blue_lab']}/users"

    answers = {who: await client_of(who).post(path, json={}) for who in (*users, *others, *clients)}

    assert {who: answer.status_code for who, answer in answers.items()} == {
        **dict.fromkeys(users, 201), **dict.fromkeys(others, 401), **dict.fromkeys(clients, 404)
    }  # fmt: skip
    assert {answers[who].json()["message"] for who in clients} == {"user not found"}
    assert sorted(await _subscribers(client_of, world.ids["blue_lab"])) == ["admin_user", "alice", "epm"]


async def test_nobody_subscribes_to_what_is_not_there(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update remotecis set state = 'archived' where name = 'red_lab'")

    for remoteci_id in (uuid4(), world.ids["red_lab"]):
        for who in ("admin", "blue_lab"):
            response = await client_of(who).post(f"/remotecis/{remoteci_id}/users", json={})
            assert (response.status_code, response.json()["message"]) == (404, "remoteci not found")


async def test_who_sees_the_subscribers(client_of: ClientOf, world: World) -> None:
    path = f"/remotecis/{world.ids['blue_lab']}/users"

    statuses = {who: (await client_of(who).get(path)).status_code for who in (*MEMBERS, *OTHERS)}

    assert statuses == {**dict.fromkeys(MEMBERS, 200), **dict.fromkeys(OTHERS, 401)}
    assert (await client_of("bob").get(f"/remotecis/{uuid4()}/users")).status_code == 404


async def test_who_takes_a_subscription_back(client_of: ClientOf, world: World) -> None:
    lab, user = world.ids["blue_lab"], world.ids["user bob"]

    for who in (*OTHERS, *MEMBERS):
        await world.db.execute("insert into users_remotecis values ($1, $2) on conflict do nothing", user, lab)
        response = await client_of(who).delete(f"/remotecis/{lab}/users/{user}")
        assert (who, response.status_code) == (who, 204 if who in MEMBERS else 401)
        assert await _subscribers(client_of, lab) == ([] if who in MEMBERS else ["bob"])


async def test_taking_back_what_is_not_there_is_done_already(client_of: ClientOf, world: World) -> None:
    lab, alice = world.ids["blue_lab"], client_of("alice")

    answers = [
        await alice.delete(f"/remotecis/{lab}/users/{world.ids['user alice']}"),
        await alice.delete(f"/remotecis/{lab}/users/{uuid4()}"),
        await alice.delete(f"/remotecis/{uuid4()}/users/{world.ids['user alice']}"),
    ]

    assert [answer.status_code for answer in answers] == [204, 404, 404]
    assert [answer.json()["message"] for answer in answers[1:]] == ["user not found", "remoteci not found"]


async def test_a_reader_has_subscriptions_of_their_own_only(client_of: ClientOf, world: World) -> None:
    reader = client_of("reader")
    lab = await world.add("remotecis", name="hat", team_id=world.ids["Red Hat"])
    await world.add("users_remotecis", user_id=world.ids["user bob"], remoteci_id=lab)

    subscribed = await reader.post(f"/remotecis/{lab}/users", json={})
    for_another = await reader.delete(f"/remotecis/{lab}/users/{world.ids['user bob']}")
    taken_back = await reader.delete(f"/remotecis/{lab}/users/{world.ids['user reader']}")

    assert (subscribed.status_code, for_another.status_code, taken_back.status_code) == (201, 401, 204)
    assert await _subscribers(client_of, lab) == ["bob"]


async def test_an_archived_user_is_no_subscriber(client_of: ClientOf, world: World) -> None:
    lab, user = world.ids["blue_lab"], world.ids["user bob"]
    await world.add("users_remotecis", user_id=user, remoteci_id=lab)
    await world.db.execute("update users set state = 'archived' where name = 'bob'")

    assert await _subscribers(client_of, lab) == []
    assert (await client_of("alice").delete(f"/remotecis/{lab}/users/{user}")).status_code == 404
