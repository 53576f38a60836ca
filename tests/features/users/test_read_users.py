# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def test_users_are_listed_with_teams_and_subscriptions_but_no_secret(client_of: ClientOf, world: World) -> None:
    await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids["blue_lab"])

    response = await client_of("epm").get("/users?where=email:alice*&limit=5&offset=0")

    users = response.json()["users"]
    assert response.json()["_meta"] == {"count": 1}
    assert [team["name"] for team in users[0]["team"]] == ["Blue"]
    assert [remoteci["name"] for remoteci in users[0]["remotecis"]] == ["blue_lab"]
    assert users[0]["last_auth_at"] is None
    assert not {"password", "password_hash"} & set(users[0])
    assert "secret" not in response.text


async def test_archived_users_are_not_listed(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update users set state = 'archived' where name = 'alice'")

    response = await client_of("admin").get("/users?limit=200&offset=0")

    names = [user["name"] for user in response.json()["users"]]
    assert sorted(names) == ["admin_user", "bob", "epm", "nobody", "reader"]
    assert response.json()["_meta"]["count"] == 5


async def test_the_password_is_no_column(client_of: ClientOf) -> None:
    admin = client_of("admin")
    for parameters in ("where=password:x", "query=like(password,x%25)", "sort=password", "where=password_hash:x"):
        response = await admin.get(f"/users?{parameters}")

        assert response.status_code == 400
        assert "argon2" not in response.text


@pytest.mark.parametrize("who", ["reader", "bob", "nobody", "blue_lab", "blue_feeder"])
async def test_others_read_no_users(client_of: ClientOf, world: World, who: str) -> None:
    client = client_of(who)
    for path in ("/users", "/users/{alice}", "/users/{alice}/teams", "/users/{alice}/remotecis"):
        assert (await client.get(path.format(alice=world.ids["user alice"]))).status_code == 401


@pytest.mark.parametrize("who", ["alice", "epm", "admin"])
async def test_a_user_is_read_by_themselves_and_epms(client_of: ClientOf, world: World, who: str) -> None:
    await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids["blue_lab"])
    path = f"/users/{world.ids['user alice']}"

    response = await client_of(who).get(path)
    teams = await client_of(who).get(f"{path}/teams")
    remotecis = await client_of(who).get(f"{path}/remotecis")

    user = response.json()["user"]
    assert response.headers["etag"] == user["etag"]
    assert user["email"] == "alice@example.org"
    assert teams.json() == {"teams": user["team"], "_meta": {"count": 1}}
    assert remotecis.json() == {"remotecis": user["remotecis"]}
    assert [remoteci["id"] for remoteci in user["remotecis"]] == [world.ids["blue_lab"]]


async def test_an_unknown_user_is_told_to_epms_only(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update users set state = 'archived' where name = 'bob'")
    epm, alice = client_of("epm"), client_of("alice")
    for user_id in (world.ids["user bob"], str(uuid4())):
        for part in ("", "/teams", "/remotecis"):
            told = await epm.get(f"/users/{user_id}{part}")
            refused = await alice.get(f"/users/{user_id}{part}")

            assert (told.status_code, told.json()["message"]) == (404, "user not found")
            assert refused.status_code == 401


async def test_archived_teams_and_remotecis_are_left_out(client_of: ClientOf, world: World) -> None:
    await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids["red_lab"])
    await world.add("users_teams", user_id=world.ids["user alice"], team_id=world.ids["Red"])
    await world.db.execute("update teams set state = 'archived' where name = 'Red'")
    await world.db.execute("update remotecis set state = 'archived' where name = 'red_lab'")
    path = f"/users/{world.ids['user alice']}"

    user = (await client_of("admin").get(path)).json()["user"]
    teams = (await client_of("admin").get(f"{path}/teams")).json()
    remotecis = (await client_of("admin").get(f"{path}/remotecis")).json()

    assert [team["name"] for team in user["team"]] == ["Blue"]
    assert user["remotecis"] == []
    assert ([team["name"] for team in teams["teams"]], teams["_meta"]) == (["Blue"], {"count": 1})
    assert remotecis == {"remotecis": []}


@pytest.mark.parametrize("who", ["alice", "nobody", "reader", "admin"])
async def test_everybody_who_is_a_user_reads_their_own_profile(client_of: ClientOf, world: World, who: str) -> None:
    response = await client_of(who).get("/users/me")

    assert response.status_code == 200
    assert response.json()["user"]["id"] == world.ids[f"user {who}"]
    assert response.headers["etag"] == response.json()["user"]["etag"]


@pytest.mark.parametrize("who", ["blue_lab", "blue_feeder"])
async def test_a_client_has_no_profile(client_of: ClientOf, who: str) -> None:
    response = await client_of(who).get("/users/me")

    assert (response.status_code, response.json()["message"]) == (404, "user not found")


async def test_the_scope_narrows_the_identity_but_not_the_profile(client_of: ClientOf, world: World) -> None:
    await world.add("users_teams", user_id=world.ids["user alice"], team_id=world.ids["Red"])
    scope = {"X-Dci-Team-Id": world.ids["Red"]}
    alice = client_of("alice")

    identity = (await alice.get("/identity", headers=scope)).json()["identity"]
    profile = (await alice.get("/users/me", headers=scope)).json()["user"]
    refused = await alice.get("/users/me", headers={"X-Dci-Team-Id": world.ids["EPM"]})

    assert list(identity["teams"]) == [world.ids["Red"]]
    assert sorted(team["name"] for team in profile["team"]) == ["Blue", "Red"]
    assert refused.status_code == 401


async def test_a_super_admin_in_the_scope_of_another_team_reads_no_users(client_of: ClientOf, world: World) -> None:
    await world.add("users_teams", user_id=world.ids["user admin"], team_id=world.ids["Blue"])
    admin = client_of("admin")

    scoped = await admin.get("/users", headers={"X-Dci-Team-Id": world.ids["Blue"]})
    oneself = await admin.get(f"/users/{world.ids['user admin']}", headers={"X-Dci-Team-Id": world.ids["Blue"]})

    assert (scoped.status_code, oneself.status_code) == (401, 200)
