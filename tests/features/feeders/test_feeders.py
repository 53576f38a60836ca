# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any
from uuid import uuid4

import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.signing import SignedBy
from tests.waiting import until_heard

FIELDS = {"id", "created_at", "updated_at", "etag", "name", "team_id", "data", "state", "last_auth_at"}


async def _get(client_of: ClientOf, feeder_id: str) -> Any:
    return (await client_of("admin").get(f"/feeders/{feeder_id}")).json()["feeder"]


async def test_a_new_feeder_shows_its_secret_once_and_signs_with_it(client_of: ClientOf, world: World) -> None:
    epm = client_of("epm")
    new = {"name": "builds", "team_id": world.ids["Red"], "data": {"a": 1}}

    response = await epm.post("/feeders", json=new)
    created = response.json()["feeder"]
    read = await epm.get(f"/feeders/{created['id']}")
    signed = await client_of("stranger").get(
        "/identity", auth=SignedBy(f"feeder/{created['id']}", created["api_secret"])
    )

    assert response.status_code == 201
    assert response.headers["etag"] == created["etag"]
    assert set(created) == FIELDS | {"api_secret"}
    assert (created["data"], created["state"], created["last_auth_at"]) == ({"a": 1}, "active", None)
    assert set(read.json()["feeder"]) == FIELDS
    assert created["api_secret"] not in read.text
    assert list(signed.json()["identity"]["teams"]) == [world.ids["Red"]]


async def test_who_creates_feeders(client_of: ClientOf, world: World) -> None:
    creators, others = ("admin", "epm"), ("alice", "reader", "blue_lab", "blue_feeder", "nobody")

    answers = {
        who: await client_of(who).post("/feeders", json={"name": who, "team_id": world.ids["Blue"]})
        for who in (*creators, *others)
    }

    statuses = {who: answer.status_code for who, answer in answers.items()}
    assert statuses == {**dict.fromkeys(creators, 201), **dict.fromkeys(others, 401)}
    assert await world.count("feeders") == 3


async def test_who_sees_which_feeders(client_of: ClientOf, world: World) -> None:
    for name, team in (("hat", "Red Hat"), ("red", "Red")):
        await world.add("feeders", name=name, team_id=world.ids[team])
    seen: dict[str, tuple[list[str], int]] = {}

    for who in ("alice", "blue_lab", "blue_feeder", "admin", "epm", "reader", "bob", "nobody"):
        page = (await client_of(who).get("/feeders")).json()
        one = await client_of(who).get(f"/feeders/{world.ids['blue_feeder']}")
        assert page["_meta"]["count"] == len(page["feeders"])
        seen[who] = (sorted(feeder["name"] for feeder in page["feeders"]), one.status_code)

    members, all_of_them = (["blue_feeder"], 200), (["blue_feeder", "hat", "red"], 200)
    assert seen == {
        **dict.fromkeys(("alice", "blue_lab", "blue_feeder"), members),
        **dict.fromkeys(("admin", "epm"), all_of_them),
        "reader": (["hat"], 401),
        "bob": (["red"], 401),
        "nobody": ([], 401),
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("where=name:b*", ["b1", "blue_feeder"]),
        ("query=eq(name,b1)", ["b1"]),
        ("sort=name&limit=1&offset=1", ["blue_feeder"]),
        ("where=state:inactive", ["b1"]),
        ("created_after=2100-01-01", []),
    ],
)
async def test_feeders_are_listed_like_everything_else(
    client_of: ClientOf, world: World, query: str, names: list[str]
) -> None:
    await world.add("feeders", name="b1", team_id=world.ids["Blue"], state="inactive")

    response = await client_of("alice").get(f"/feeders?{query}")

    assert [feeder["name"] for feeder in response.json()["feeders"]] == names


@pytest.mark.parametrize("path", ["feeders", "remotecis"])
@pytest.mark.parametrize("query", ["where=api_secret:x", "query=eq(api_secret,x)", "sort=api_secret", "sort=-data",
                                   "where=data:x", "query=like(data,x)"])  # fmt: skip
async def test_secrets_can_be_neither_filtered_nor_sorted_on(client_of: ClientOf, path: str, query: str) -> None:
    response = await client_of("admin").get(f"/{path}?{query}")

    assert response.status_code == 400
    assert "api_secret" not in str(response.json()["payload"])


@pytest.mark.parametrize("taken_by", ["active", "archived"])
async def test_a_name_is_taken_once_per_team(client_of: ClientOf, world: World, taken_by: str) -> None:
    admin = client_of("admin")
    other = await world.add("feeders", name="other", team_id=world.ids["Blue"])
    etag = (await admin.get(f"/feeders/{other}")).headers["etag"]
    await world.db.execute("update feeders set state = $1 where name = 'blue_feeder'", taken_by)

    created = await admin.post("/feeders", json={"name": "blue_feeder", "team_id": world.ids["Blue"]})
    renamed = await admin.put(f"/feeders/{other}", json={"name": "blue_feeder"}, headers={"If-match": etag})
    elsewhere = await admin.post("/feeders", json={"name": "blue_feeder", "team_id": world.ids["Red"]})
    nowhere = await admin.post("/feeders", json={"name": "blue_feeder", "team_id": str(uuid4())})

    answers = (created, renamed, elsewhere, nowhere)
    assert [answer.status_code for answer in answers] == [409, 409, 201, 409]
    assert created.json()["message"] == "We are unable to create this resource. A similar resource already exists."
    assert nowhere.json()["payload"] == {"error": {"team_id": "does not exist"}}


async def test_a_whole_feeder_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    alice, feeder = client_of("alice"), await _get(client_of, world.ids["blue_feeder"])

    response = await alice.put(
        f"/feeders/{feeder['id']}", json={**feeder, "name": "renamed"}, headers={"If-match": feeder["etag"]}
    )

    changed = response.json()["feeder"]
    assert response.status_code == 200
    assert set(changed) == FIELDS
    assert response.headers["etag"] == changed["etag"] != feeder["etag"]
    assert {**changed, "name": "", "etag": "", "updated_at": ""} == {
        **feeder, "name": "", "etag": "", "updated_at": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("who", "team", "status"),
    [("alice", "Red", 401), ("alice", "Red Hat", 401), ("alice", "Blue", 200), ("bob", "Red", 401),
     ("blue_feeder", "Red Hat", 401), ("both", "Red", 200), ("reader", "Red Hat", 401), ("epm", "Red", 200)],
)  # fmt: skip
async def test_who_moves_a_feeder_is_in_both_teams(
    app: Application, client_of: ClientOf, world: World, who: str, team: str, status: int
) -> None:
    await until_heard(app)
    await client_of("blue_feeder").get("/identity")
    if who == "both":
        await world.add("users_teams", user_id=world.ids["user alice"], team_id=world.ids["Red"])
    feeder = await _get(client_of, world.ids["blue_feeder"])

    response = await client_of("alice" if who == "both" else who).put(
        f"/feeders/{feeder['id']}", json={"team_id": world.ids[team]}, headers={"If-match": feeder["etag"]}
    )

    assert response.status_code == status
    owner = team if status == 200 else "Blue"
    assert (await _get(client_of, feeder["id"]))["team_id"] == world.ids[owner]
    identity = (await client_of("blue_feeder").get("/identity")).json()["identity"]
    assert list(identity["teams"]) == [world.ids[owner]]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_the_order_of_refusals(client_of: ClientOf, world: World, method: str) -> None:
    feeder, bob = await _get(client_of, world.ids["blue_feeder"]), client_of("bob")
    path = f"/feeders/{feeder['id']}"

    answers = [
        await bob.request(method, path, json={"name": 1}),
        await bob.request(method, path, json={"name": "x"}, headers={"If-match": "stale"}),
        await bob.request(method, f"/feeders/{uuid4()}", json={}, headers={"If-match": feeder["etag"]}),
        await bob.request(method, path, json={"name": "x"}, headers={"If-match": feeder["etag"]}),
    ]

    assert [answer.status_code for answer in answers] == [412, 404, 404, 401]
    assert await _get(client_of, feeder["id"]) == feeder


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    alice, feeder = client_of("alice"), await _get(client_of, world.ids["blue_feeder"])

    answers = await asyncio.gather(
        *(
            alice.put(f"/feeders/{feeder['id']}", json={"name": f"n{n}"}, headers={"If-match": feeder["etag"]})
            for n in range(10)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 9


@pytest.mark.parametrize("way", ["DELETE", "PUT"])
async def test_a_deleted_feeder_is_gone_and_signs_no_more(
    app: Application, client_of: ClientOf, world: World, way: str
) -> None:
    await until_heard(app)
    alice, feeder = client_of("alice"), await _get(client_of, world.ids["blue_feeder"])
    before = (await client_of("blue_feeder").get("/identity")).status_code

    response = await alice.request(
        way, f"/feeders/{feeder['id']}", json={"state": "archived"}, headers={"If-match": feeder["etag"]}
    )

    assert before == 200
    assert response.status_code == (204 if way == "DELETE" else 200)
    assert (await client_of("blue_feeder").get("/identity")).status_code == 401
    assert (await alice.get(f"/feeders/{feeder['id']}")).status_code == 404
    assert (await alice.get("/feeders")).json() == {"feeders": [], "_meta": {"count": 0}}


async def test_archived_feeders_are_purged_with_their_secrets(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    await world.db.execute("update feeders set state = 'archived'")

    archived = (await admin.get("/feeders/purge")).json()
    response = await admin.post("/feeders/purge")

    assert [set(feeder) for feeder in archived["feeders"]] == [FIELDS]
    assert archived["_meta"]["count"] == 1
    assert response.status_code == 204
    assert await world.count("feeders") == 0
    assert await world.count("client_secrets") == 2
