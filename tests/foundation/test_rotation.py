# SPDX-License-Identifier: Apache-2.0
"""Secrets of remotecis and feeders: one is replaced, the old one may overlap, each can be ended."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.signing import SignedBy
from tests.waiting import until, until_heard

KINDS = [("remoteci", "blue_lab"), ("feeder", "blue_feeder")]
both_kinds = pytest.mark.parametrize(("kind", "who"), KINDS)


async def rotate(by: httpx.AsyncClient, kind: str, client_id: str, query: str = "") -> Any:
    """The answer to a successful rotation."""
    etag = (await by.get(f"/{kind}s/{client_id}")).headers["etag"]
    response = await by.put(f"/{kind}s/{client_id}/api_secret{query}", json={}, headers={"If-match": etag})
    assert response.status_code == 200
    return response.json()[kind]


async def status_with(client_of: ClientOf, kind: str, client_id: str, secret: str) -> int:
    """What a request is answered that this secret signs."""
    auth = SignedBy(f"{kind}/{client_id}", secret)
    return (await client_of("stranger").get("/identity", auth=auth)).status_code


async def until_refused(client_of: ClientOf, kind: str, client_id: str, secret: str) -> None:
    """A change behind the server's back is heard of a moment later."""

    async def is_refused() -> bool:
        return await status_with(client_of, kind, client_id, secret) == 401

    await until(is_refused)


async def secrets_of(by: httpx.AsyncClient, kind: str, client_id: str) -> list[dict[str, Any]]:
    response = await by.get(f"/{kind}s/{client_id}/secrets")
    assert response.status_code == 200
    assert response.json()["_meta"]["count"] == len(response.json()["secrets"])
    return response.json()["secrets"]


@both_kinds
async def test_a_rotation_ends_the_old_secret_with_the_next_request(
    app: Application, client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    await until_heard(app)
    old, owner = world.keys[who], world.ids[who]
    before = [await status_with(client_of, kind, owner, old) for _ in range(2)]

    rotated = await rotate(client_of("alice"), kind, owner)

    assert before == [200, 200]
    assert await status_with(client_of, kind, owner, old) == 401
    assert await status_with(client_of, kind, owner, rotated["api_secret"]) == 200
    assert rotated["api_secret"].startswith("DCI.")
    assert len(rotated["api_secret"]) == 64


@both_kinds
async def test_with_an_overlap_both_secrets_sign_until_the_old_one_expires(
    app: Application, client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    await until_heard(app)
    old, owner = world.keys[who], world.ids[who]

    new = (await rotate(client_of("alice"), kind, owner, "?overlap=3600"))["api_secret"]
    during = [await status_with(client_of, kind, owner, secret) for secret in (old, new, old)]
    await world.db.execute(
        "update client_secrets set expires_at = utc_now() - interval '1 second' where expires_at is not null"
    )
    await until_refused(client_of, kind, owner, old)

    assert during == [200, 200, 200]
    assert await status_with(client_of, kind, owner, new) == 200


@both_kinds
async def test_the_etag_changes_and_the_answer_is_the_client_with_its_secret(
    client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    before = (await alice.get(f"/{kind}s/{owner}")).json()[kind]

    response = await alice.put(f"/{kind}s/{owner}/api_secret", content=b"{", headers={"If-match": before["etag"]})

    after = response.json()[kind]
    assert response.headers["etag"] == after["etag"] != before["etag"]
    relations = {"team", "users"} if kind == "remoteci" else set[str]()
    assert set(after) == (set(before) - relations) | {"api_secret"}


@both_kinds
async def test_the_etag_is_compared(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    path = f"/{kind}s/{owner}/api_secret"

    missing = await alice.put(path, json={})
    stale = await alice.put(path, json={}, headers={"If-match": "0" * 32})

    assert (missing.status_code, stale.status_code) == (412, 404)
    assert stale.json()["message"] == f"{kind} not found"
    assert await status_with(client_of, kind, owner, world.keys[who]) == 200


@both_kinds
async def test_of_ten_rotations_with_one_etag_one_succeeds(
    client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    etag = (await alice.get(f"/{kind}s/{owner}")).headers["etag"]

    answers = await asyncio.gather(
        *(alice.put(f"/{kind}s/{owner}/api_secret", json={}, headers={"If-match": etag}) for _ in range(10))
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 9
    (new,) = [answer.json()[kind]["api_secret"] for answer in answers if answer.status_code == 200]
    assert await status_with(client_of, kind, owner, new) == 200
    assert len(await secrets_of(alice, kind, owner)) == 1


@both_kinds
async def test_an_overlap_never_lengthens_a_life(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    await rotate(alice, kind, owner, "?expires_in=60")
    (before,) = await secrets_of(alice, kind, owner)

    await rotate(alice, kind, owner, "?overlap=3600")

    newest, older = await secrets_of(alice, kind, owner)
    assert older == before
    assert newest["expires_at"] is None


async def test_a_new_secret_can_be_given_an_end(client_of: ClientOf, world: World) -> None:
    alice, owner = client_of("alice"), world.ids["blue_lab"]

    await rotate(alice, "remoteci", owner, "?expires_in=86400&overlap=60")

    newest, older = await secrets_of(alice, "remoteci", owner)
    made = datetime.fromisoformat(newest["created_at"])
    assert datetime.fromisoformat(newest["expires_at"]) == made + timedelta(days=1)
    assert datetime.fromisoformat(older["expires_at"]) == made + timedelta(seconds=60)


@both_kinds
async def test_at_most_five_secrets_are_valid_and_the_oldest_end(
    client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    alice, owner = client_of("alice"), world.ids[who]

    made = [(await rotate(alice, kind, owner, "?overlap=3600"))["api_secret"] for _ in range(6)]

    listed = await secrets_of(alice, kind, owner)
    assert [secret["created_at"] for secret in listed] == sorted((s["created_at"] for s in listed), reverse=True)
    assert len(listed) == 5
    statuses = [await status_with(client_of, kind, owner, secret) for secret in [world.keys[who], *made]]
    assert statuses == [401, 401, 200, 200, 200, 200, 200]


async def test_expired_secrets_are_removed_by_a_rotation(client_of: ClientOf, world: World) -> None:
    alice, owner = client_of("alice"), world.ids["blue_lab"]
    await world.db.execute("update client_secrets set expires_at = utc_now() - interval '1 second'")

    await rotate(alice, "remoteci", owner, "?overlap=3600")

    (only,) = await secrets_of(alice, "remoteci", owner)
    assert only["expires_at"] is None


@pytest.mark.parametrize(
    "query", ["overlap=-1", "overlap=", "overlap=abc", "overlap=1.5", "overlap=2592001", "overlap=1e3", "overlap=٣",
              "overlap=" + "9" * 40, "expires_in=0", "expires_in=-5", "expires_in=soon", "expires_in=315360001",
              "overlap=x&overlap=1"],
)  # fmt: skip
async def test_an_unreadable_number_of_seconds_is_explained(client_of: ClientOf, world: World, query: str) -> None:
    alice, owner = client_of("alice"), world.ids["blue_lab"]
    etag = (await alice.get(f"/remotecis/{owner}")).headers["etag"]

    response = await alice.put(f"/remotecis/{owner}/api_secret?{query}", json={}, headers={"If-match": etag})

    assert response.status_code == 400
    name, most = ("overlap", 2592000) if query.startswith("overlap") else ("expires_in", 315360000)
    assert response.json()["message"].startswith(f"{name} is a whole number from {int(name != 'overlap')} to {most};")
    assert (await alice.get(f"/remotecis/{owner}")).headers["etag"] == etag


@both_kinds
async def test_a_slip_in_a_parameter_ends_no_secret(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    etag = (await alice.get(f"/{kind}s/{owner}")).headers["etag"]

    response = await alice.put(f"/{kind}s/{owner}/api_secret?overlapp=3600", json={}, headers={"If-match": etag})

    assert response.status_code == 400
    assert response.json()["message"] == "'overlapp' is no parameter here; possible are overlap, expires_in"
    assert await status_with(client_of, kind, owner, world.keys[who]) == 200


async def test_a_remoteci_replaces_its_own_secret_and_signs_the_overlap(client_of: ClientOf, world: World) -> None:
    lab, owner = client_of("blue_lab"), world.ids["blue_lab"]

    new = (await rotate(lab, "remoteci", owner, "?overlap=600"))["api_secret"]

    assert await status_with(client_of, "remoteci", owner, new) == 200
    assert (await lab.get("/identity")).status_code == 200


MEMBERS = ("alice", "admin", "epm", "blue_lab", "blue_feeder")
OTHERS = ("reader", "bob", "red_lab", "nobody", "stranger")


@both_kinds
async def test_members_of_the_team_replace_its_secrets(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    owner, path = world.ids[who], f"/{kind}s/{world.ids[who]}"
    statuses: dict[str, int] = {}

    for caller in (*OTHERS, *MEMBERS):
        etag = (await client_of("admin").get(path)).headers["etag"]
        response = await client_of(caller).put(f"{path}/api_secret?overlap=600", json={}, headers={"If-match": etag})
        statuses[caller] = response.status_code

    assert statuses == {**dict.fromkeys(OTHERS, 401), **dict.fromkeys(MEMBERS, 200)}
    assert len(await secrets_of(client_of("admin"), kind, owner)) == 5


@both_kinds
async def test_members_of_the_team_learn_of_its_secrets(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    answers = {each: await client_of(each).get(f"/{kind}s/{world.ids[who]}/secrets") for each in (*OTHERS, *MEMBERS)}

    statuses = {each: answer.status_code for each, answer in answers.items()}
    assert statuses == {**dict.fromkeys(OTHERS, 401), **dict.fromkeys(MEMBERS, 200)}
    for member in MEMBERS:
        (secret,) = answers[member].json()["secrets"]
        assert set(secret) == {"id", "created_at", "expires_at", "last_used_at"}


@both_kinds
async def test_others_end_no_secret(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    (only,) = await secrets_of(client_of("admin"), kind, world.ids[who])

    answers = [await client_of(each).delete(f"/{kind}s/{world.ids[who]}/secrets/{only['id']}") for each in OTHERS]

    assert [answer.status_code for answer in answers] == [401] * len(OTHERS)
    assert await secrets_of(client_of("admin"), kind, world.ids[who]) == [only]


@both_kinds
async def test_one_secret_is_ended_at_once(
    app: Application, client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    await until_heard(app)
    alice, owner = client_of("alice"), world.ids[who]
    new = (await rotate(alice, kind, owner, "?overlap=3600"))["api_secret"]
    assert await status_with(client_of, kind, owner, world.keys[who]) == 200
    _, older = await secrets_of(alice, kind, owner)

    response = await alice.delete(f"/{kind}s/{owner}/secrets/{older['id']}")

    assert (response.status_code, response.content) == (204, b"")
    assert await status_with(client_of, kind, owner, world.keys[who]) == 401
    assert await status_with(client_of, kind, owner, new) == 200
    assert (await alice.delete(f"/{kind}s/{owner}/secrets/{older['id']}")).status_code == 404


@both_kinds
async def test_after_its_last_secret_a_client_waits_for_a_new_one(
    client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    (only,) = await secrets_of(alice, kind, owner)

    ended = await alice.delete(f"/{kind}s/{owner}/secrets/{only['id']}")
    without = await status_with(client_of, kind, owner, world.keys[who])
    new = (await rotate(alice, kind, owner))["api_secret"]

    assert (ended.status_code, without) == (204, 401)
    assert await status_with(client_of, kind, owner, new) == 200


@both_kinds
async def test_only_a_secret_of_this_client_is_ended(client_of: ClientOf, world: World, kind: str, who: str) -> None:
    admin = client_of("admin")
    other = {"remoteci": "red_lab", "feeder": "blue_lab"}[kind]
    (foreign,) = await secrets_of(admin, "remoteci", world.ids[other])
    paths = {
        f"/{kind}s/{world.ids[who]}/secrets/{foreign['id']}": "secret not found",
        f"/{kind}s/{world.ids[who]}/secrets/{uuid4()}": "secret not found",
        f"/{kind}s/{uuid4()}/secrets/{foreign['id']}": f"{kind} not found",
    }

    answers = {path: await admin.delete(path) for path in paths}

    assert {path: answer.json()["message"] for path, answer in answers.items()} == paths
    assert {answer.status_code for answer in answers.values()} == {404}
    assert await world.count("client_secrets") == 3


@both_kinds
async def test_an_archived_client_has_no_secrets_to_replace(
    client_of: ClientOf, world: World, kind: str, who: str
) -> None:
    alice, owner = client_of("alice"), world.ids[who]
    etag = (await alice.get(f"/{kind}s/{owner}")).headers["etag"]
    await world.db.execute(f"update {kind}s set state = 'archived'")
    secret_id = uuid4()

    answers = [
        await alice.put(f"/{kind}s/{owner}/api_secret", json={}, headers={"If-match": etag}),
        await alice.get(f"/{kind}s/{owner}/secrets"),
        await alice.delete(f"/{kind}s/{owner}/secrets/{secret_id}"),
    ]

    assert [(answer.status_code, answer.json()["message"]) for answer in answers] == [(404, f"{kind} not found")] * 3


async def test_the_database_holds_no_secret_in_clear(client_of: ClientOf, world: World) -> None:
    owner = world.ids["blue_lab"]
    new = (await rotate(client_of("alice"), "remoteci", owner))["api_secret"]

    row = await world.db.fetchrow(
        "select row_to_json(c) as text, sealed_secret from client_secrets c where remoteci_id = $1", UUID(owner)
    )

    assert row is not None
    assert new not in json.dumps(row["text"])
    assert new.encode() not in row["sealed_secret"]
    assert world.secrets.open(row["sealed_secret"], UUID(owner)) == new
