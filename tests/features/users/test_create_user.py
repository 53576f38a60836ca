# SPDX-License-Identifier: Apache-2.0
from typing import Any

import httpx
import pytest

from tests.conftest import ClientOf, World


async def test_a_new_user_logs_in_with_the_password(client_of: ClientOf, world: World) -> None:
    new = {"name": "carol", "email": "carol@example.org", "fullname": "Carol", "password": "c:a:rol", "timezone": "CET"}

    response = await client_of("epm").post("/users", json=new)

    user = response.json()["user"]
    assert response.status_code == 201
    assert response.headers["etag"] == user["etag"]
    assert {key: user[key] for key in ("name", "email", "fullname", "timezone", "state", "sso_username")} == {
        "name": "carol", "email": "carol@example.org", "fullname": "Carol", "timezone": "CET", "state": "active",
        "sso_username": "",
    }  # fmt: skip
    assert "password" not in response.text
    me = await client_of("stranger").get("/users/me", auth=httpx.BasicAuth("carol", "c:a:rol"))
    assert me.json()["user"] == {**user, "team": [], "remotecis": []}


@pytest.mark.parametrize(
    ("new", "name"),
    [
        ({"email": "carol@example.org"}, "carol@example.org"),
        ({"sso_username": "rh-carol"}, "rh-carol"),
        ({"email": "carol@example.org", "sso_username": "rh-carol"}, "carol@example.org"),
        ({"email": "carol@example.org", "sso_username": "", "name": ""}, ""),
    ],
)
async def test_names_default_to_the_email_or_the_sso_username(
    client_of: ClientOf, new: dict[str, str], name: str
) -> None:
    user = (await client_of("admin").post("/users", json=new)).json()["user"]

    assert user["name"] == name
    assert user["fullname"] == (new.get("email") or new["sso_username"])


async def test_without_a_password_nobody_logs_in(client_of: ClientOf) -> None:
    await client_of("admin").post("/users", json={"email": "carol@example.org", "password": ""})

    response = await client_of("stranger").get("/users/me", auth=httpx.BasicAuth("carol@example.org", ""))

    assert response.status_code == 401


@pytest.mark.parametrize(
    ("new", "error"),
    [
        ({}, "the body is not valid under any of the given schemas: give email or sso_username"),
        ({"name": "carol"}, "the body is not valid under any of the given schemas: give email or sso_username"),
        ({"sso_username": ""}, "the body is not valid under any of the given schemas: give email or sso_username"),
        ({"email": "carol"}, "'carol' is not a 'email'"),
        ({"email": None}, "email: None is not of type 'string'"),
        ({"email": "a@b", "password": 1}, "password: 1 is not of type 'string'"),
        ({"email": "a@b", "state": "new"}, "'new' is not one of ['active', 'inactive', 'archived']"),
        ([], "[] is not of type 'object'"),
    ],
)
async def test_a_malformed_user_is_explained(client_of: ClientOf, world: World, new: Any, error: str) -> None:
    before = await world.count("users")

    response = await client_of("admin").post("/users", json=new)

    assert response.status_code == 400
    assert response.json()["payload"]["error"] == error
    assert await world.count("users") == before


async def test_what_the_server_decides_cannot_be_sent(client_of: ClientOf, world: World) -> None:
    before = await world.count("users")
    admin = client_of("admin")
    for forbidden in ("id", "etag", "created_at", "updated_at", "last_auth_at", "team_id", "team", "role", "sso_sub"):
        response = await admin.post("/users", json={"email": "c@example.org", forbidden: "x"})

        assert response.status_code == 400
        assert response.json()["payload"]["error"] == (
            f"Additional properties are not allowed ('{forbidden}' was unexpected)"
        )
    assert await world.count("users") == before


async def test_unusable_texts_are_refused(client_of: ClientOf, world: World) -> None:
    before = await world.count("users")
    admin = client_of("admin")
    for new in (
        {"email": "a@example.org", "name": "a\nb"},
        {"email": "a\x1b@example.org"},
        {"email": "a@example.org", "fullname": "x" * 256},
        {"email": "a@example.org", "timezone": "x\x7f"},
        {"sso_username": "x" * 256},
        {"email": "a@example.org", "password": "p" * 5000},
    ):
        response = await admin.post("/users", json=new)

        assert response.status_code == 400
    assert await world.count("users") == before


@pytest.mark.parametrize(
    ("new", "field"),
    [
        ({"email": "alice@example.org", "name": "other"}, "email"),
        ({"email": "other@example.org", "name": "alice"}, "name"),
        ({"sso_username": "rh-bob", "name": "other"}, "sso_username"),
    ],
)
@pytest.mark.parametrize("state", ["active", "archived"])
async def test_what_must_be_unique_is_refused_in_our_words(
    client_of: ClientOf, world: World, new: dict[str, str], field: str, state: str
) -> None:
    await world.db.execute("update users set sso_username = 'rh-bob' where name = 'bob'")
    await world.db.execute("update users set state = $1 where name in ('alice', 'bob')", state)

    response = await client_of("admin").post("/users", json=new)

    assert response.status_code == 409
    assert response.json() == {
        "message": "We are unable to create this resource. A similar resource already exists.",
        "payload": {"error": {field: "already_exists"}},
        "status_code": 409,
    }


@pytest.mark.parametrize("who", ["alice", "reader", "nobody", "blue_lab", "blue_feeder"])
async def test_only_epms_and_super_admins_create_users(client_of: ClientOf, who: str) -> None:
    refused = await client_of(who).post("/users", json={"email": "carol@example.org"})
    malformed = await client_of(who).post("/users", json={})

    assert (refused.status_code, malformed.status_code) == (401, 400)
