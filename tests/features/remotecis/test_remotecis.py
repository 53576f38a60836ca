# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any
from uuid import uuid4

import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until_heard

FIELDS = {
    "id", "created_at", "updated_at", "etag", "name", "team_id", "data", "public", "state", "last_auth_at",
}  # fmt: skip


async def _get(client_of: ClientOf, remoteci_id: str) -> Any:
    return (await client_of("admin").get(f"/remotecis/{remoteci_id}")).json()["remoteci"]


async def test_a_new_remoteci_shows_its_secret_once(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")

    response = await alice.post("/remotecis", json={"name": "lab-2", "team_id": world.ids["Blue"]})
    created = response.json()["remoteci"]
    read = await alice.get(f"/remotecis/{created['id']}")

    assert response.status_code == 201
    assert response.headers["etag"] == created["etag"]
    assert set(created) == FIELDS | {"api_secret"}
    assert (created["data"], created["public"], created["state"], created["last_auth_at"]) == (
        {},
        False,
        "active",
        None,
    )
    assert set(read.json()["remoteci"]) == FIELDS | {"team", "users"}
    assert created["api_secret"] not in read.text


async def test_when_a_remoteci_was_last_seen_is_read(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update remotecis set last_auth_at = '2026-11-15 10:20:30.5'")
    alice = client_of("alice")

    one = (await alice.get(f"/remotecis/{world.ids['blue_lab']}")).json()["remoteci"]
    listed = (await alice.get("/remotecis?sort=-last_auth_at")).json()["remotecis"]

    assert {each["last_auth_at"] for each in (one, *listed)} == {"2026-11-15T10:20:30.5"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "x"}, "'team_id' is a required property"),
        ({"name": "x", "team_id": "1"}, "team_id: '1' '1' does not match"),
        ({"name": None}, "name: None is not of type 'string'"),
        ({"name": "x", "api_secret": "s"}, "Additional properties are not allowed ('api_secret' was unexpected)"),
        ({"name": "x", "data": []}, "[] is not of type 'object'"),
        ({"name": "x", "public": "yes"}, "'yes' is not of type 'boolean'"),
        ({"name": "x", "state": "gone"}, "'gone' is not one of ['active', 'inactive', 'archived']"),
    ],
)
async def test_a_malformed_remoteci_is_explained(client_of: ClientOf, body: object, words: str) -> None:
    response = await client_of("alice").post("/remotecis", json=body)

    assert response.status_code == 400
    assert any(error.startswith(words) for error in response.json()["payload"]["errors"])


@pytest.mark.parametrize("name", ["a\nb", "x" * 256])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_name_is_plain_text(client_of: ClientOf, world: World, method: str, name: str) -> None:
    lab = await _get(client_of, world.ids["blue_lab"])
    path = "/remotecis" if method == "POST" else f"/remotecis/{lab['id']}"

    response = await client_of("alice").request(
        method, path, json={"name": name, "team_id": lab["team_id"]}, headers={"If-match": lab["etag"]}
    )

    assert response.status_code == 400
    assert response.json()["message"].startswith("name ")


@pytest.mark.parametrize("taken_by", ["active", "archived"])
async def test_a_name_is_taken_once_per_team(client_of: ClientOf, world: World, taken_by: str) -> None:
    admin = client_of("admin")
    other = await world.add("remotecis", name="other", team_id=world.ids["Blue"])
    etag = (await admin.get(f"/remotecis/{other}")).headers["etag"]
    await world.db.execute("update remotecis set state = $1 where name = 'blue_lab'", taken_by)

    created = await admin.post("/remotecis", json={"name": "blue_lab", "team_id": world.ids["Blue"]})
    renamed = await admin.put(f"/remotecis/{other}", json={"name": "blue_lab"}, headers={"If-match": etag})
    elsewhere = await admin.post("/remotecis", json={"name": "blue_lab", "team_id": world.ids["Red"]})

    assert (created.status_code, renamed.status_code, elsewhere.status_code) == (409, 409, 201)
    assert created.json()["message"] == "We are unable to create this resource. A similar resource already exists."
    assert renamed.json()["message"] == "We are unable to update this resource. A similar resource already exists."
    assert created.json()["payload"] == {"error": {"name": "already_exists"}}


@pytest.mark.parametrize("team", ["absent", "archived"])
@pytest.mark.parametrize("who", ["admin", "epm"])
async def test_a_team_that_is_not_there_gets_no_remoteci(
    client_of: ClientOf, world: World, who: str, team: str
) -> None:
    client, lab = client_of(who), await _get(client_of, world.ids["blue_lab"])
    team_id = str(uuid4()) if team == "absent" else await world.add("teams", name="gone", state="archived")

    created = await client.post("/remotecis", json={"name": "x", "team_id": team_id})
    moved = await client.put(f"/remotecis/{lab['id']}", json={"team_id": team_id}, headers={"If-match": lab["etag"]})

    assert (created.status_code, moved.status_code) == (409, 409)
    assert created.json()["payload"] == moved.json()["payload"] == {"error": {"team_id": "does not exist"}}
    assert await _get(client_of, lab["id"]) == lab


async def test_a_whole_remoteci_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    lab = (await alice.get(f"/remotecis/{world.ids['blue_lab']}")).json()["remoteci"]

    response = await alice.put(
        f"/remotecis/{lab['id']}",
        json={**lab, "name": "renamed", "data": {"rack": 7}, "public": True},
        headers={"If-match": lab["etag"]},
    )

    changed = response.json()["remoteci"]
    assert response.status_code == 200
    assert response.headers["etag"] == changed["etag"] != lab["etag"]
    assert changed["updated_at"] > lab["updated_at"]
    kept = {name: lab[name] for name in FIELDS - {"etag", "updated_at", "name", "data", "public"}}
    assert {name: changed[name] for name in kept} == kept
    assert (changed["name"], changed["data"], changed["public"]) == ("renamed", {"rack": 7}, True)
    assert set(changed) == FIELDS


async def test_what_is_not_named_stays(client_of: ClientOf, world: World) -> None:
    before = await _get(client_of, world.ids["blue_lab"])

    response = await client_of("alice").put(f"/remotecis/{before['id']}", json={}, headers={"If-match": before["etag"]})

    after = response.json()["remoteci"]
    changing = {"etag", "updated_at", "team", "users"}
    assert {name: after[name] for name in FIELDS - changing} == {name: before[name] for name in FIELDS - changing}


@pytest.mark.parametrize(
    ("who", "team", "status"),
    [
        ("alice", "Red", 401),
        ("alice", "Red Hat", 401),
        ("alice", "Blue", 200),
        ("bob", "Red", 401),
        ("blue_lab", "Red", 401),
        ("both", "Red", 200),
        ("reader", "Blue", 401),
        ("epm", "Red", 200),
        ("admin", "Red", 200),
    ],
)
async def test_who_moves_a_remoteci_is_in_both_teams(
    app: Application, client_of: ClientOf, world: World, who: str, team: str, status: int
) -> None:
    await until_heard(app)
    await client_of("blue_lab").get("/identity")
    if who == "both":
        await world.add("users_teams", user_id=world.ids["user alice"], team_id=world.ids["Red"])
    lab = await _get(client_of, world.ids["blue_lab"])

    response = await client_of("alice" if who == "both" else who).put(
        f"/remotecis/{lab['id']}", json={"team_id": world.ids[team]}, headers={"If-match": lab["etag"]}
    )

    assert response.status_code == status
    owner = team if status == 200 else "Blue"
    assert (await _get(client_of, lab["id"]))["team_id"] == world.ids[owner]
    # Its secret stays valid, and with the next request it is one of the other team.
    identity = (await client_of("blue_lab").get("/identity")).json()["identity"]
    assert list(identity["teams"]) == [world.ids[owner]]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_the_order_of_refusals(client_of: ClientOf, world: World, method: str) -> None:
    lab, bob = await _get(client_of, world.ids["blue_lab"]), client_of("bob")
    path, bad = f"/remotecis/{lab['id']}", {"name": 1}

    answers = [
        await bob.request(method, path, json=bad),
        await bob.request(method, path, json=bad, headers={"If-match": "stale"}),
        await bob.request(method, path, json={"name": "red_lab"}, headers={"If-match": "stale"}),
        await bob.request(method, f"/remotecis/{uuid4()}", json={}, headers={"If-match": lab["etag"]}),
        await bob.request(method, path, json={"name": "x"}, headers={"If-match": lab["etag"]}),
    ]

    bad_body = 400 if method == "PUT" else 404
    assert [answer.status_code for answer in answers] == [412, bad_body, 404, 404, 401]
    assert await _get(client_of, lab["id"]) == lab


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    alice, lab = client_of("alice"), await _get(client_of, world.ids["blue_lab"])

    answers = await asyncio.gather(
        *(
            alice.put(f"/remotecis/{lab['id']}", json={"name": f"n{n}"}, headers={"If-match": lab["etag"]})
            for n in range(10)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 9


async def test_an_inactive_remoteci_cannot_sign_in_until_it_is_active_again(
    app: Application, client_of: ClientOf, world: World
) -> None:
    await until_heard(app)
    alice, lab = client_of("alice"), client_of("blue_lab")
    statuses = [(await lab.get("/identity")).status_code]

    for state in ("inactive", "active"):
        etag = (await alice.get(f"/remotecis/{world.ids['blue_lab']}")).headers["etag"]
        await alice.put(f"/remotecis/{world.ids['blue_lab']}", json={"state": state}, headers={"If-match": etag})
        statuses.append((await lab.get("/identity")).status_code)

    assert statuses == [200, 401, 200]


@pytest.mark.parametrize("way", ["DELETE", "PUT"])
async def test_with_a_remoteci_go_its_jobs_and_subscriptions(
    app: Application, client_of: ClientOf, world: World, way: str
) -> None:
    await until_heard(app)
    alice, lab = client_of("alice"), world.ids["blue_lab"]
    job, foreign = await world.job(), await world.job("red_lab")
    for name in ("blue_lab", "red_lab"):
        await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids[name])
    etag = (await alice.get(f"/remotecis/{lab}")).headers["etag"]
    await client_of("blue_lab").get("/identity")

    response = await alice.request(way, f"/remotecis/{lab}", json={"state": "archived"}, headers={"If-match": etag})

    assert response.status_code == (204 if way == "DELETE" else 200)
    if way == "PUT":
        assert response.json()["remoteci"]["state"] == "archived"
    assert (await client_of("blue_lab").get("/identity")).status_code == 401
    assert (await alice.get(f"/remotecis/{lab}")).status_code == 404
    assert (await alice.get("/remotecis")).json()["_meta"]["count"] == 0
    assert (await alice.get(f"/jobs/{job}")).status_code == 404
    assert (await alice.get("/jobs")).json()["_meta"]["count"] == 0
    assert (await client_of("bob").get(f"/jobs/{foreign}")).status_code == 200
    assert [str(row["remoteci_id"]) for row in await world.db.fetch("select remoteci_id from users_remotecis")] == [
        world.ids["red_lab"]
    ]


async def test_a_change_takes_no_job_along(client_of: ClientOf, world: World) -> None:
    alice, job, lab = client_of("alice"), await world.job(), await _get(client_of, world.ids["blue_lab"])

    await alice.put(f"/remotecis/{lab['id']}", json={"state": "inactive"}, headers={"If-match": lab["etag"]})

    assert (await alice.get(f"/jobs/{job}")).status_code == 200


async def test_a_purged_remoteci_is_gone_with_its_jobs_and_gives_its_bytes_back(
    app: Application, client_of: ClientOf, world: World
) -> None:
    assert app.services is not None
    lab, admin, content = client_of("blue_lab"), client_of("admin"), b"x" * 200_000
    job = await world.job()
    kept = await world.job("red_lab")
    headers = {"DCI-NAME": "big.log", "DCI-JOB-ID": job, "Content-Type": "text/plain"}
    uploaded = (await lab.post("/files", content=content, headers=headers)).json()["file"]
    key = f"files/{world.ids['Blue']}/{job}/{uploaded['id']}"
    before = await app.services.store.size(key)
    etag = (await admin.get(f"/remotecis/{world.ids['blue_lab']}")).headers["etag"]
    await admin.delete(f"/remotecis/{world.ids['blue_lab']}", headers={"If-match": etag})

    archived = (await admin.get("/remotecis/purge")).json()
    response = await admin.post("/remotecis/purge")

    assert before == len(content)
    assert (archived["_meta"]["count"], [each["id"] for each in archived["remotecis"]]) == (1, [world.ids["blue_lab"]])
    assert set(archived["remotecis"][0]) == FIELDS
    assert response.status_code == 204
    assert [str(row["id"]) for row in await world.db.fetch("select id from jobs")] == [kept]
    assert await world.count("client_secrets") == 2
    assert await world.count("objects_to_remove") == 0
    assert await app.services.store.size(key) is None
    assert (await admin.get("/remotecis/purge")).json() == {"remotecis": [], "_meta": {"count": 0}}


async def test_a_job_of_another_lab_that_follows_keeps_a_remoteci_from_being_purged(
    client_of: ClientOf, world: World
) -> None:
    previous = await world.job()
    await world.job("red_lab", previous_job_id=previous)
    await world.db.execute("update remotecis set state = 'archived' where name = 'blue_lab'")

    response = await client_of("admin").post("/remotecis/purge")

    assert response.status_code == 409
    assert "nothing was deleted" in response.json()["message"]
    assert await world.count("jobs") == 2
    assert await world.count("remotecis") == 2
