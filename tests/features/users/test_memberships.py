# SPDX-License-Identifier: Apache-2.0
import asyncio
from uuid import uuid4

import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until, until_heard


def membership(world: World, team: str, user: str) -> str:
    return f"/teams/{world.ids[team]}/users/{world.ids[f'user {user}']}"


async def test_a_new_member_is_one_on_the_next_request(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    job, nobody = await world.job(), client_of("nobody")
    before = [(await nobody.get(f"/jobs/{job}")).status_code for _ in range(2)]
    team = (await client_of("admin").get(f"/teams/{world.ids['Blue']}")).json()["team"]

    answers = [await client_of("epm").post(membership(world, "Blue", "nobody")) for _ in range(2)]

    assert before == [404, 404]
    assert [(answer.status_code, answer.content) for answer in answers] == [(201, b"")] * 2
    assert (await nobody.get(f"/jobs/{job}")).status_code == 200
    assert (await client_of("admin").get(f"/teams/{world.ids['Blue']}")).json()["team"] == team
    listed = (await client_of("alice").get(f"/teams/{world.ids['Blue']}/users")).json()
    assert [user["name"] for user in listed["users"]] == ["alice", "nobody"]
    assert listed["_meta"] == {"count": 2}


async def test_a_removed_member_is_refused_on_the_next_request(
    app: Application, client_of: ClientOf, world: World
) -> None:
    await until_heard(app)
    job, alice = await world.job(), client_of("alice")
    before = [(await alice.get(f"/jobs/{job}")).status_code for _ in range(2)]

    answers = [await client_of("epm").delete(membership(world, "Blue", "alice")) for _ in range(2)]

    assert before == [200, 200]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert (await alice.get(f"/jobs/{job}")).status_code == 404
    assert (await alice.get("/identity")).json()["identity"]["teams"] == {}


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_unknown_teams_and_users_are_not_found(client_of: ClientOf, world: World, method: str) -> None:
    archived_team = await world.add("teams", name="Gone", state="archived")
    archived_user = await world.add("users", name="gone", fullname="Gone", state="archived")
    blue, alice = world.ids["Blue"], world.ids["user alice"]
    for team, user, missing in (
        (uuid4(), alice, "team"),
        (archived_team, alice, "team"),
        (uuid4(), uuid4(), "team"),
        (blue, uuid4(), "user"),
        (blue, archived_user, "user"),
    ):
        response = await client_of("epm").request(method, f"/teams/{team}/users/{user}")

        assert (response.status_code, response.json()["message"]) == (404, f"{missing} not found")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_others_change_no_membership(client_of: ClientOf, world: World, method: str) -> None:
    for who in ("alice", "bob", "reader", "nobody", "blue_lab", "blue_feeder"):
        known = await client_of(who).request(method, membership(world, "Blue", "alice"))
        unknown = await client_of(who).request(method, f"/teams/{uuid4()}/users/{uuid4()}")
        assert (known.status_code, unknown.status_code) == (401, 401)
    assert await world.count("users_teams") == 5


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("team", ["admin", "EPM", "Red Hat"])
async def test_only_super_admins_say_who_has_a_role(client_of: ClientOf, world: World, method: str, team: str) -> None:
    user = {"admin": "admin", "EPM": "epm", "Red Hat": "reader"}[team] if method == "DELETE" else "nobody"
    await world.add("users_teams", user_id=world.ids["user bob"], team_id=world.ids["admin"])
    path = membership(world, team, user)

    by_epm = await client_of("epm").request(method, path)
    still = await world.count("users_teams")
    by_admin = await client_of("admin").request(method, path)

    assert (by_epm.status_code, still) == (401, 6)
    assert by_admin.status_code == (201 if method == "POST" else 204)
    assert await world.count("users_teams") == (7 if method == "POST" else 5)


async def test_a_super_admin_in_the_scope_of_epm_acts_as_one(client_of: ClientOf, world: World) -> None:
    await world.add("users_teams", user_id=world.ids["user admin"], team_id=world.ids["EPM"])
    scope = {"X-Dci-Team-Id": world.ids["EPM"]}

    role = await client_of("admin").post(membership(world, "Red Hat", "nobody"), headers=scope)
    ordinary = await client_of("admin").post(membership(world, "Blue", "nobody"), headers=scope)

    assert (role.status_code, ordinary.status_code) == (401, 201)


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("blue_lab", 200), ("blue_feeder", 200), ("epm", 200),
    ("admin", 200), ("bob", 401), ("reader", 401), ("nobody", 401), ("red_lab", 401)])  # fmt: skip
async def test_who_sees_the_members_of_a_team(client_of: ClientOf, world: World, who: str, status: int) -> None:
    response = await client_of(who).get(f"/teams/{world.ids['Blue']}/users")

    assert response.status_code == status
    assert "password" not in response.text


async def test_the_members_of_an_unknown_team_are_not_found(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update teams set state = 'archived' where name = 'Red'")

    answers = [await client_of("epm").get(f"/teams/{team}/users") for team in (uuid4(), world.ids["Red"])]

    assert [(answer.status_code, answer.json()["message"]) for answer in answers] == [(404, "team not found")] * 2


# --- the last super admin (decision 11) ---

LAST = "the user is the last active super admin; make somebody else one first"


async def etag_of(client_of: ClientOf, world: World, user: str) -> str:
    return (await client_of("admin").get(f"/users/{world.ids[f'user {user}']}")).json()["user"]["etag"]


async def remove(client_of: ClientOf, world: World, way: str, user: str, etag: str) -> int:
    """One of the ways to be no active super admin any more."""
    admin, path = client_of("admin"), f"/users/{world.ids[f'user {user}']}"
    if way == "membership":
        response = await admin.delete(membership(world, "admin", user))
    elif way == "DELETE":
        response = await admin.delete(path, headers={"If-match": etag})
    else:
        response = await admin.put(path, json={"state": way}, headers={"If-match": etag})
    if response.status_code == 409:
        assert response.json()["message"] == LAST
    return response.status_code


WAYS = ["membership", "DELETE", "archived", "inactive"]


@pytest.mark.parametrize("way", WAYS)
async def test_the_last_super_admin_stays(client_of: ClientOf, world: World, way: str) -> None:
    # Neither of them could do anything for the hub.
    await world.add("users_teams", user_id=world.ids["user bob"], team_id=world.ids["admin"])
    await world.db.execute("update users set state = 'inactive' where name = 'bob'")

    refused = await remove(client_of, world, way, "admin", await etag_of(client_of, world, "admin"))
    inactive_one = await remove(client_of, world, way, "bob", await etag_of(client_of, world, "bob"))
    await client_of("admin").post("/users/purge")

    assert refused == 409
    assert inactive_one in (200, 204)
    assert (await client_of("admin").get("/audits")).status_code == 200


@pytest.mark.parametrize("way", WAYS)
async def test_one_of_two_super_admins_may_go(client_of: ClientOf, world: World, way: str) -> None:
    await world.add("users_teams", user_id=world.ids["user bob"], team_id=world.ids["admin"])

    first = await remove(client_of, world, way, "bob", await etag_of(client_of, world, "bob"))
    second = await remove(client_of, world, way, "admin", await etag_of(client_of, world, "admin"))

    assert first in (200, 204)
    assert second == 409


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", ["membership", "inactive"])
async def test_of_two_removals_at_a_time_one_is_refused(
    client_of: ClientOf, world: World, way: str, other: str
) -> None:
    await world.add("users_teams", user_id=world.ids["user bob"], team_id=world.ids["admin"])
    await world.add("users_teams", user_id=world.ids["user alice"], team_id=world.ids["admin"])
    await world.db.execute("update users set state = 'inactive' where name = 'alice'")
    etags = {user: await etag_of(client_of, world, user) for user in ("admin", "bob")}

    async with world.db.transaction():
        # Both have looked at the database before either of them can write.
        await world.db.execute("select from users for update")
        await world.db.execute("select from users_teams for update")
        removals = [
            asyncio.create_task(remove(client_of, world, way, "admin", etags["admin"])),
            asyncio.create_task(remove(client_of, world, other, "bob", etags["bob"])),
        ]
        await until_waiting(world, len(removals))
    statuses = await asyncio.gather(*removals)

    assert statuses.count(409) == 1
    left = "select count(*) from users join users_teams on user_id = users.id where team_id = $1 and state = 'active'"
    assert await world.db.fetchval(left, world.ids["admin"]) == 1


async def until_waiting(world: World, number: int) -> None:
    """So many statements wait for each other."""
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

    async def are_enough() -> bool:
        # What a transaction sees of the others is fixed at the first look.
        await world.db.execute("select pg_stat_clear_snapshot()")
        return await world.db.fetchval(waiting) >= number

    await until(are_enough)
