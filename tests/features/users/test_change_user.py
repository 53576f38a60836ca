# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until_heard

STALE = "update failed, either user not found or etag not matched"


async def user_named(client_of: ClientOf, name: str) -> dict[str, Any]:
    users = (await client_of("admin").get(f"/users?where=name:{name}")).json()["users"]
    return (await client_of("admin").get(f"/users/{users[0]['id']}")).json()["user"]


async def change(client_of: ClientOf, user: dict[str, Any], who: str = "admin", **body: object) -> httpx.Response:
    return await client_of(who).put(f"/users/{user['id']}", json=body, headers={"If-match": user["etag"]})


async def test_a_whole_user_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update users set sso_sub = 'sub-1' where name = 'alice'")
    alice = await user_named(client_of, "alice")

    response = await change(client_of, alice, **{**alice, "fullname": "Alice B.", "team_id": "x", "role": "admin"})

    changed = response.json()["user"]
    assert response.status_code == 200
    assert response.headers["etag"] == changed["etag"] != alice["etag"]
    stays = set(changed) - {"fullname", "etag", "updated_at"}
    assert changed["fullname"] == "Alice B."
    assert {key: changed[key] for key in stays} == {key: alice[key] for key in stays}
    assert not {"team", "remotecis", "password"} & set(changed)


async def test_what_the_server_decides_is_not_changed(client_of: ClientOf, world: World) -> None:
    alice = await user_named(client_of, "alice")
    sent: dict[str, Any] = {"id": str(uuid4()), "etag": "0" * 32, "created_at": "2000-01-01T00:00:00", "team_id": world.ids["admin"],
            "updated_at": "2000-01-01T00:00:00", "last_auth_at": "2000-01-01T00:00:00", "password_hash": "x",
            "team": [{"id": world.ids["admin"]}], "remotecis": [{"id": world.ids["red_lab"]}]}  # fmt: skip

    response = await change(client_of, alice, **sent)

    after = await user_named(client_of, "alice")
    assert response.status_code == 200
    assert {**after, "etag": "", "updated_at": ""} == {**alice, "etag": "", "updated_at": ""}
    assert after["updated_at"] > alice["updated_at"]
    assert (await client_of("alice").get("/users/me")).status_code == 200


async def test_an_administrator_links_a_user_to_single_sign_on(client_of: ClientOf) -> None:
    alice = await user_named(client_of, "alice")

    linked = (await change(client_of, alice, sso_username="rh-alice", sso_sub="sub-1")).json()["user"]
    kept = (await change(client_of, linked, fullname="A")).json()["user"]
    emptied = (await change(client_of, kept, sso_username="", sso_sub=None)).json()["user"]
    bob = (await change(client_of, await user_named(client_of, "bob"), sso_username="")).status_code

    assert (linked["sso_username"], linked["sso_sub"]) == ("rh-alice", "sub-1")
    assert (kept["sso_username"], kept["sso_sub"]) == ("rh-alice", "sub-1")
    assert (emptied["sso_username"], emptied["sso_sub"]) == ("", None)
    assert bob == 200  # no two users share an empty name


async def test_a_new_password_counts_at_once(app: Application, client_of: ClientOf) -> None:
    await until_heard(app)
    before = [(await client_of("alice").get("/identity")).status_code for _ in range(2)]
    alice = await user_named(client_of, "alice")

    await change(client_of, alice, password="battery staple")

    old = await client_of("alice").get("/identity")
    new = await client_of("stranger").get("/identity", auth=httpx.BasicAuth("alice", "battery staple"))
    assert before == [200, 200]
    assert (old.status_code, new.status_code) == (401, 200)


async def test_an_empty_password_changes_nothing(client_of: ClientOf) -> None:
    await change(client_of, await user_named(client_of, "alice"), password="")

    empty = await client_of("stranger").get("/identity", auth=httpx.BasicAuth("alice", ""))
    assert (await client_of("alice").get("/identity")).status_code == 200
    assert empty.status_code == 401


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf) -> None:
    alice = await user_named(client_of, "alice")

    answers = await asyncio.gather(*(change(client_of, alice, fullname=str(n)) for n in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["message"] for answer in answers if answer.status_code == 409} == {STALE}


async def test_a_disabled_user_is_refused_on_the_next_request(app: Application, client_of: ClientOf) -> None:
    await until_heard(app)
    before = (await client_of("alice").get("/identity")).status_code

    response = await change(client_of, await user_named(client_of, "alice"), state="inactive")

    assert (before, response.status_code) == (200, 200)
    assert (await client_of("alice").get("/identity")).status_code == 401


async def test_an_archived_user_comes_back(client_of: ClientOf, world: World) -> None:
    alice = await user_named(client_of, "alice")
    archived = (await change(client_of, alice, state="archived")).json()["user"]
    gone = await client_of("admin").get(f"/users/{alice['id']}")

    back = await change(client_of, archived, state="active")

    assert archived["state"] == "archived"
    assert gone.status_code == 404
    assert back.json()["user"]["state"] == "active"
    assert (await client_of("alice").get("/users/me")).json()["user"]["team"][0]["name"] == "Blue"


@pytest.mark.parametrize(
    ("field", "value"), [("name", "bob"), ("email", "bob@example.org"), ("sso_username", "rh-bob")]
)
async def test_what_must_be_unique_is_refused_in_our_words(
    client_of: ClientOf, world: World, field: str, value: str
) -> None:
    await world.db.execute("update users set sso_username = 'rh-bob' where name = 'bob'")

    response = await change(client_of, await user_named(client_of, "alice"), **{field: value})

    assert response.status_code == 409
    assert response.json() == {
        "message": "We are unable to update this resource. A similar resource already exists.",
        "payload": {"error": {field: "already_exists"}},
        "status_code": 409,
    }


async def test_a_malformed_change_is_explained(client_of: ClientOf) -> None:
    alice = await user_named(client_of, "alice")
    wrong: list[tuple[Any, str]] = [
        ({"email": None}, "email: None is not of type 'string'"),
        ({"email": "alice"}, "'alice' is not a 'email'"),
        ({"name": 1}, "name: 1 is not of type 'string'"),
        ({"state": "gone"}, "'gone' is not one of ['active', 'inactive', 'archived']"),
        ({"sso_sub": 1}, "1 is not of type 'string', 'null'"),
    ]
    for body, error in wrong:
        response = await change(client_of, alice, **body)

        assert response.status_code == 400
        assert response.json()["payload"]["errors"] == [error]
    for body in ({"name": "a\nb"}, {"fullname": "x" * 256}, {"sso_sub": "x" * 256}, {"password": "p" * 5000}):
        assert (await change(client_of, alice, **body)).status_code == 400
    assert await user_named(client_of, "alice") == alice


async def test_refusals_come_in_the_order_400_412_401_409(client_of: ClientOf, world: World) -> None:
    path = f"/users/{world.ids['user alice']}"
    epm, admin, stale = client_of("epm"), client_of("admin"), {"If-match": "0" * 32}

    answers = [
        await epm.put(path, json={"name": 1}),
        await epm.put(path, json={}),
        await epm.put(path, json={}, headers=stale),
        await admin.put(path, json={}, headers=stale),
        await admin.put(f"/users/{uuid4()}", json={}, headers=stale),
    ]

    assert [answer.status_code for answer in answers] == [400, 412, 401, 409, 409]
    assert [answer.json()["message"] for answer in answers[3:]] == [STALE, STALE]


async def test_nobody_else_changes_a_user(client_of: ClientOf) -> None:
    alice = await user_named(client_of, "alice")
    for who in ("alice", "bob", "reader", "epm", "nobody", "blue_lab", "blue_feeder"):
        assert (await change(client_of, alice, who, fullname="x")).status_code == 401
