# SPDX-License-Identifier: Apache-2.0
import asyncio
from uuid import uuid4

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.features.users.test_change_user import user_named
from tests.waiting import until_heard


async def test_a_deleted_user_is_gone_from_every_list(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    admin, alice = client_of("admin"), await user_named(client_of, "alice")
    await world.add("users_remotecis", user_id=alice["id"], remoteci_id=world.ids["blue_lab"])
    before = (await client_of("alice").get("/identity")).status_code

    response = await admin.delete(f"/users/{alice['id']}", headers={"If-match": alice["etag"]})

    assert (before, response.status_code, response.content) == (200, 204, b"")
    assert (await client_of("alice").get("/identity")).status_code == 401
    assert (await admin.get(f"/users/{alice['id']}")).status_code == 404
    assert (await admin.get("/users?where=name:alice")).json()["users"] == []
    assert (await admin.get(f"/teams/{world.ids['Blue']}/users")).json() == {"users": [], "_meta": {"count": 0}}
    remoteci = (await admin.get(f"/remotecis/{world.ids['blue_lab']}")).json()["remoteci"]
    assert remoteci["users"] == []


async def test_of_ten_deletions_with_one_etag_one_wins(client_of: ClientOf) -> None:
    admin, alice = client_of("admin"), await user_named(client_of, "alice")

    answers = await asyncio.gather(
        *(admin.delete(f"/users/{alice['id']}", headers={"If-match": alice["etag"]}) for _ in range(10))
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 404, 409}


async def test_refusals_come_in_the_order_412_404_401_409(client_of: ClientOf, world: World) -> None:
    path, stale = f"/users/{world.ids['user alice']}", {"If-match": "0" * 32}

    answers = [
        await client_of("epm").delete(path),
        await client_of("epm").delete(f"/users/{uuid4()}", headers=stale),
        await client_of("epm").delete(path, headers=stale),
        await client_of("admin").delete(path, headers=stale),
    ]

    assert [answer.status_code for answer in answers] == [412, 404, 401, 409]
    assert answers[3].json()["message"] == "delete failed, either user already deleted or etag not matched"


async def test_nobody_else_deletes_a_user(client_of: ClientOf) -> None:
    alice = await user_named(client_of, "alice")
    for who in ("alice", "bob", "reader", "epm", "nobody", "blue_lab", "blue_feeder"):
        response = await client_of(who).delete(f"/users/{alice['id']}", headers={"If-match": alice["etag"]})
        assert response.status_code == 401


async def test_archived_users_are_purged_with_their_memberships(client_of: ClientOf, world: World) -> None:
    admin, alice = client_of("admin"), await user_named(client_of, "alice")
    await admin.delete(f"/users/{alice['id']}", headers={"If-match": alice["etag"]})

    listed = await admin.get("/users/purge")
    refused = [(await client_of("epm").request(method, "/users/purge")).status_code for method in ("GET", "POST")]
    purged = await admin.post("/users/purge")

    assert [user["name"] for user in listed.json()["users"]] == ["alice"]
    assert listed.json()["_meta"] == {"count": 1}
    assert "password" not in listed.text
    assert refused == [401, 401]
    assert (purged.status_code, purged.content) == (204, b"")
    assert (await admin.get("/users/purge")).json() == {"users": [], "_meta": {"count": 0}}
    assert await world.db.fetchval("select count(*) from users_teams where user_id = $1", alice["id"]) == 0
    again = await admin.post("/users", json={"name": "alice", "email": "alice@example.org"})
    assert again.status_code == 201
