# SPDX-License-Identifier: Apache-2.0
"""PUT /users/me, and PUT /identity, which is the same."""

import asyncio
from typing import Any

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until, until_heard

PATHS = pytest.mark.parametrize("path", ["/users/me", "/identity"])
STALE = "update failed, either user not found or etag not matched"
PASSWORD = "correct horse"


async def change(client_of: ClientOf, path: str, who: str = "alice", **body: object) -> httpx.Response:
    etag = (await client_of(who).get("/users/me")).json().get("user", {}).get("etag", "x")
    return await client_of(who).put(path, json=body, headers={"If-match": etag})


@PATHS
async def test_a_user_changes_the_own_profile(client_of: ClientOf, path: str) -> None:
    wanted = {"fullname": "Alice B.", "timezone": "Europe/Paris", "email": "a@example.org"}

    response = await change(client_of, path, current_password=PASSWORD, **wanted)

    user = response.json()["user"]
    assert response.status_code == 200
    assert response.headers["etag"] == user["etag"]
    assert {key: user[key] for key in wanted} == wanted
    assert not {"team", "remotecis", "password"} & set(user)
    identity = (await client_of("alice").get("/identity")).json()["identity"]
    assert (identity["etag"], identity["fullname"], identity["timezone"]) == (user["etag"], "Alice B.", "Europe/Paris")


@PATHS
async def test_only_the_profile_is_changed(client_of: ClientOf, world: World, path: str) -> None:
    before = (await client_of("alice").get("/users/me")).json()["user"]
    sent: dict[str, Any] = {**before, "id": world.ids["user bob"], "name": "mallory", "state": "archived", "sso_username": "rh-admin",
            "sso_sub": "1", "team_id": world.ids["admin"], "created_at": "2000-01-01T00:00:00", "password": "x",
            "etag": "0" * 32, "last_auth_at": "2000-01-01T00:00:00"}  # fmt: skip

    response = await change(client_of, path, **sent, current_password=PASSWORD)

    after = (await client_of("alice").get("/users/me")).json()["user"]
    assert response.status_code == 200
    assert {**after, "etag": "", "updated_at": ""} == {**before, "etag": "", "updated_at": ""}


@PATHS
@pytest.mark.parametrize("who", ["alice", "reader", "admin"])
async def test_the_current_password_is_needed_whatever_the_role(client_of: ClientOf, path: str, who: str) -> None:
    missing = await change(client_of, path, who, new_password="battery staple")
    wrong = await change(client_of, path, who, current_password="x", email="x@example.org")
    right = await change(client_of, path, who, current_password=PASSWORD, fullname="New")

    assert (missing.status_code, missing.json()["payload"]["errors"]) == (
        400, ["'current_password' is a required property"]
    )  # fmt: skip
    assert (wrong.status_code, wrong.json()["message"]) == (400, "current_password invalid")
    assert (right.status_code, right.json()["user"]["fullname"]) == (200, "New")
    assert right.json()["user"]["email"] != "x@example.org"


@PATHS
async def test_a_new_password_counts_at_once(app: Application, client_of: ClientOf, path: str) -> None:
    await until_heard(app)

    response = await change(client_of, path, current_password=PASSWORD, new_password="battery staple")

    old = await client_of("alice").get("/identity")
    new = await client_of("stranger").get("/identity", auth=httpx.BasicAuth("alice", "battery staple"))
    assert (response.status_code, old.status_code, new.status_code) == (200, 401, 200)


async def test_a_new_password_counts_on_other_processes(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    before = (await client_of("alice").get("/identity")).status_code

    # What another process writes reaches this one as a notification.
    await world.db.execute(
        "update users set password_hash = (select password_hash from users where name = 'bob') || 'x' where name = 'alice'"
    )

    async def refused() -> bool:
        return (await client_of("alice").get("/identity")).status_code == 401

    assert before == 200
    assert await until(refused)


async def test_who_has_no_password_sets_one_without(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    etag = (await client_of("alice").get("/users/me")).json()["user"]["etag"]
    # Behind the back of the server, which goes on believing the old password until alice changes.
    await world.db.execute("alter table users disable trigger users_forget")
    await world.db.execute("update users set password_hash = null where name = 'alice'")
    await world.db.execute("alter table users enable trigger users_forget")

    response = await client_of("alice").put("/users/me", json={"new_password": "first"}, headers={"If-match": etag})

    login = await client_of("stranger").get("/identity", auth=httpx.BasicAuth("alice", "first"))
    assert (response.status_code, login.status_code) == (200, 200)


async def test_empty_texts_change_nothing(client_of: ClientOf) -> None:
    before = (await client_of("alice").get("/users/me")).json()["user"]

    response = await change(
        client_of, "/users/me", current_password=PASSWORD, fullname="", timezone="", new_password=""
    )

    user = response.json()["user"]
    assert (user["fullname"], user["timezone"]) == (before["fullname"], "UTC")
    assert (await client_of("alice").get("/identity")).status_code == 200


@PATHS
async def test_a_stale_etag_is_a_conflict(client_of: ClientOf, path: str) -> None:
    alice, body = client_of("alice"), {"current_password": PASSWORD, "fullname": "x"}

    without = await alice.put(path, json={"email": 1})
    stale = await alice.put(path, json=body, headers={"If-match": "0" * 32})
    etag = (await alice.get("/users/me")).json()["user"]["etag"]
    together = await asyncio.gather(*(alice.put(path, json=body, headers={"If-match": etag}) for _ in range(10)))

    assert without.status_code == 412
    assert (stale.status_code, stale.json()["message"]) == (409, STALE)
    assert sorted(answer.status_code for answer in together) == [200] + [409] * 9


@PATHS
async def test_a_taken_email_is_refused_in_our_words(client_of: ClientOf, path: str) -> None:
    response = await change(client_of, path, current_password=PASSWORD, email="bob@example.org")

    assert response.status_code == 409
    assert response.json()["message"] == "We are unable to update this resource. A similar resource already exists."
    assert response.json()["payload"] == {"error": {"email": "already_exists"}}


async def test_a_malformed_profile_is_explained_before_the_password_is_looked_at(client_of: ClientOf) -> None:
    wrong: list[tuple[Any, str]] = [
        ({"email": "alice"}, "'alice' is not a 'email'"),
        ({"new_password": None}, "new_password: None is not of type 'string'"),
        ({"timezone": 1}, "timezone: 1 is not of type 'string'"),
    ]
    for body, error in wrong:
        response = await change(client_of, "/users/me", **body)

        assert (response.status_code, response.json()["payload"]["errors"]) == (400, [error])
    control = await change(client_of, "/users/me", current_password=PASSWORD, fullname="a\nb")
    long = await change(client_of, "/users/me", current_password=PASSWORD, new_password="p" * 5000)
    assert (control.status_code, long.status_code) == (400, 400)


@PATHS
@pytest.mark.parametrize("who", ["blue_lab", "blue_feeder"])
async def test_a_client_has_no_profile_to_change(client_of: ClientOf, path: str, who: str) -> None:
    response = await change(client_of, path, who, current_password="x", fullname="y")

    assert (response.status_code, response.json()["message"]) == (404, "user not found")


async def test_the_scope_does_not_get_in_the_way(client_of: ClientOf, world: World) -> None:
    reader = client_of("reader")
    scope = {"X-Dci-Team-Id": world.ids["Red Hat"]}
    etag = (await reader.get("/identity", headers=scope)).json()["identity"]["etag"]

    changed = await reader.put(
        "/identity", json={"current_password": PASSWORD, "fullname": "R"}, headers={**scope, "If-match": etag}
    )
    foreign = await reader.put(
        "/identity", json={"current_password": PASSWORD, "fullname": "S"},
        headers={"X-Dci-Team-Id": world.ids["Blue"], "If-match": etag},
    )  # fmt: skip

    assert (changed.status_code, foreign.status_code) == (200, 401)
