# SPDX-License-Identifier: Apache-2.0
"""Webhooks are made, changed and deleted by those whose team they are of."""

from typing import Any

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.features.webhooks.conftest import made

_URL = "https://ci.example.org/hook"


async def test_the_secret_is_shown_once(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")

    webhook = await made(alice, _URL, team_id=world.ids["Blue"])
    read = await alice.get(f"/webhooks/{webhook['id']}")
    listed = await alice.get("/webhooks")
    stored = await world.db.fetchval("select sealed_secret from webhooks")

    assert webhook["secret"].startswith("DCI.")
    assert "secret" not in read.json()["webhook"]
    assert read.headers["etag"] == webhook["etag"]
    assert webhook["secret"] not in listed.text
    assert webhook["secret"].encode() not in stored


async def test_a_new_secret_ends_the_old_one(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    webhook = await made(alice, _URL, team_id=world.ids["Blue"])
    one = f"/webhooks/{webhook['id']}"

    without = await alice.put(f"{one}/secret")
    stale = await alice.put(f"{one}/secret", headers={"If-match": "0" * 32})
    rotated = await alice.put(f"{one}/secret", headers={"If-match": webhook["etag"]})

    assert (without.status_code, stale.status_code, rotated.status_code) == (412, 404, 200)
    assert rotated.json()["webhook"]["secret"] != webhook["secret"]
    assert rotated.json()["webhook"]["etag"] != webhook["etag"]


async def test_what_is_named_changes_and_the_rest_stays(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    webhook = await made(alice, _URL, team_id=world.ids["Blue"], statuses=["failure"])
    one = f"/webhooks/{webhook['id']}"

    changed = await alice.put(
        one, json={"event_types": ["job_finished"], "team_id": world.ids["Red"]}, headers={"If-match": webhook["etag"]}
    )
    stale = await alice.put(one, json={"name": "other"}, headers={"If-match": webhook["etag"]})

    assert changed.json()["webhook"]["event_types"] == ["job_finished"]
    assert changed.json()["webhook"]["statuses"] == ["failure"]
    assert changed.json()["webhook"]["team_id"] == world.ids["Blue"]
    assert stale.status_code == 404


async def test_a_deleted_webhook_takes_its_log_with_it(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    webhook = await made(alice, "https://127.0.0.1:1/", team_id=world.ids["Blue"])
    one = f"/webhooks/{webhook['id']}"
    await alice.post(f"{one}/ping")

    stale = await alice.delete(one, headers={"If-match": "0" * 32})
    deleted = await alice.delete(one, headers={"If-match": webhook["etag"]})

    assert (stale.status_code, deleted.status_code) == (404, 204)
    assert (await alice.get(one)).status_code == 404
    assert await world.count("webhooks_deliveries") == 0


async def test_one_of_the_whole_hub_is_the_super_admins(client_of: ClientOf) -> None:
    webhook = await made(client_of("admin"), _URL)
    asked = [(await client_of(who).get(f"/webhooks/{webhook['id']}")).status_code for who in ("admin", "epm", "alice")]
    counted = [(await client_of(who).get("/webhooks")).json()["_meta"]["count"] for who in ("admin", "epm", "alice")]

    assert asked == [200, 401, 401]
    assert counted == [1, 0, 0]


async def test_an_unknown_team_gets_no_webhook(client_of: ClientOf, world: World) -> None:
    archived = await world.add("teams", name="gone", state="archived")

    for team_id in (archived, "6b1f9e2a-0000-4000-8000-00000000dead"):
        response = await client_of("admin").post("/webhooks", json={"name": "x", "url": _URL, "team_id": team_id})

        assert response.status_code == 409
    assert await world.count("webhooks") == 0


_WRONG: list[dict[str, Any]] = [
    {"url": "https://10.0.0.1/"},
    {"url": "http://[::ffff:10.0.0.1]/"},
    {"url": "http://0x0a000001/"},
    {"url": "http://10.0.0.1./"},
    {"url": "ftp://example.org/"},
    {"url": "https://user:secret@example.org/"},
    {"url": ""},
    {"url": 3},
    {"name": "two\nlines"},
    {"name": "x" * 256},
    {"event_types": ["job_exploded"]},
    {"event_types": ["job_finished"] * 101},
    {"topic_ids": ["RHEL-9.6"]},
    {"statuses": ["good"]},
    {"state": "archived"},
    {"secret": "mine"},
]


async def test_what_makes_no_sense_is_refused(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    webhook = await made(alice, _URL, team_id=world.ids["Blue"])
    accepted: list[object] = []

    for wrong in _WRONG:
        created = await alice.post("/webhooks", json={"name": "x", "url": _URL, "team_id": world.ids["Blue"], **wrong})
        accepted += [] if created.status_code == 400 else [wrong, created.text]
        if "secret" not in wrong:  # what a change can't name it ignores
            changed = await alice.put(f"/webhooks/{webhook['id']}", json=wrong, headers={"If-match": webhook["etag"]})
            accepted += [] if changed.status_code == 400 else [wrong, changed.text]

    assert accepted == []
    assert await world.count("webhooks") == 1


async def test_a_team_has_fifty_at_most(client_of: ClientOf, world: World, app: Application) -> None:
    for number in range(50):
        await world.add("webhooks", name=f"{number}", team_id=world.ids["Blue"], url=_URL, sealed_secret=b"")

    response = await client_of("alice").post("/webhooks", json={"name": "x", "url": _URL, "team_id": world.ids["Blue"]})

    assert response.status_code == 409
    assert await world.count("webhooks") == 50
