# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import ClientOf, World

TEXTS = ("name", "display_name", "version", "url", "title", "message", "canonical_project_name")


async def component_of(client: httpx.AsyncClient, component_id: str) -> dict[str, Any]:
    return (await client.get(f"/components/{component_id}")).json()["component"]


async def put(
    client: httpx.AsyncClient, world: World, component_id: str, body: dict[str, Any], etag: str | None = None
) -> httpx.Response:
    if etag is None:
        etag = str(await world.db.fetchval("select etag from components where id = $1", component_id))
    return await client.put(f"/components/{component_id}", json=body, headers={"If-match": etag})


async def blue_component(world: World, **values: Any) -> str:
    facts = {"display_name": "blue 1", "version": "1", "topic_id": world.ids["RHEL-9.6"], **values}
    return await world.add("components", name="blue 1", type="rpm", team_id=world.ids["Blue"], **facts)


async def test_what_is_named_changes_and_nothing_is_derived_again(client_of: ClientOf, world: World) -> None:
    alice, component_id = client_of("alice"), await blue_component(world)
    before = await component_of(alice, component_id)
    changes: dict[str, Any] = {
        **dict.fromkeys(TEXTS, "x 9"),
        "title": "",
        "type": "RPM-New",
        "data": {"a": [1, {"b": None}]},
        "tags": ["b", "", "b"],
        "released_at": "2026-01-31T10:00:00+02:00",
        "state": "inactive",
    }

    response = await put(alice, world, component_id, changes)

    assert response.status_code == 200
    after = response.json()["component"]
    stored = {**changes, "type": "rpm-new", "released_at": "2026-01-31T08:00:00"}
    assert {name: after[name] for name in changes} == stored
    assert (after["uid"], after["team_id"]) == (before["uid"], world.ids["Blue"])
    assert response.headers["etag"] == after["etag"] != before["etag"]
    assert not {"files", "jobs"} & after.keys()
    assert await component_of(alice, component_id) == {**after, "files": [], "jobs": []}


async def test_a_whole_component_can_be_sent_back_and_sets_nothing_it_must_not(
    client_of: ClientOf, world: World
) -> None:
    alice = client_of("alice")
    component_id = await blue_component(world, title="t", message="m", url="u", canonical_project_name="c", uid="u")
    whole = await component_of(alice, component_id)
    forged = {
        "id": world.ids["Blue"],
        "etag": "0" * 32,
        "uid": "other",
        "team_id": world.ids["Red"],
        "created_at": "2020-01-01T00:00:00",
        "updated_at": "2020-01-01T00:00:00",
    }

    response = await put(alice, world, component_id, {**whole, **forged})

    assert response.status_code == 200
    after = await component_of(alice, component_id)
    changed = {"etag", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in whole.items() if k not in changed}
    assert after["etag"] not in (whole["etag"], "0" * 32)


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    lab, component_id = client_of("blue_lab"), await blue_component(world)
    etag = (await component_of(lab, component_id))["etag"]

    responses = await asyncio.gather(
        *(put(lab, world, component_id, {"tags": [f"t{number}"]}, etag) for number in range(10))
    )

    assert sorted(response.status_code for response in responses) == [200] + [404] * 9
    (winner,) = [response.json()["component"] for response in responses if response.status_code == 200]
    assert (await component_of(lab, component_id))["tags"] == winner["tags"]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("admin", 200),
        ("epm", 200),
        ("alice", 200),
        ("blue_lab", 200),
        ("blue_feeder", 200),
        ("reader", 401),
        ("bob", 401),
        ("red_lab", 401),
        ("nobody", 401),
    ],
)
@pytest.mark.parametrize("body", [{"title": "t"}, {"tags": ["t"]}])
async def test_who_changes_a_component_of_blue(
    client_of: ClientOf, world: World, who: str, status: int, body: dict[str, Any]
) -> None:
    component_id = await blue_component(world)

    response = await put(client_of(who), world, component_id, body)

    assert response.status_code == status
    assert (response.json().get("component") is not None) == (status == 200)


async def test_a_grant_is_for_reading(client_of: ClientOf, world: World) -> None:
    bob, component_id = client_of("bob"), await blue_component(world)
    await world.add("teams_components_access", team_id=world.ids["Red"], access_team_id=world.ids["Blue"])
    etag = (await component_of(bob, component_id))["etag"]

    statuses = [
        (await put(bob, world, component_id, {"tags": ["t"]})).status_code,
        (await bob.delete(f"/components/{component_id}", headers={"If-match": etag})).status_code,
    ]

    assert statuses == [401, 401]


@pytest.mark.parametrize(
    ("who", "body", "status"),
    [
        ("admin", {"title": "t"}, 200),
        ("epm", {"title": "t"}, 200),
        ("blue_feeder", {"title": "t"}, 200),
        ("alice", {"title": "t"}, 401),
        ("alice", {"tags": ["t"]}, 200),
        ("bob", {"tags": ["t"]}, 200),
        ("red_lab", {"tags": ["t"]}, 200),
        ("reader", {"tags": ["t"]}, 401),
        ("nobody", {"tags": ["t"]}, 401),
        ("alice", {"tags": ["t"], "title": "t"}, 401),
        ("alice", {"tags": ["t"], "state": "archived"}, 401),
        ("alice", {"state": "archived"}, 401),
        ("alice", {"tags": ["t"], "data": {"a": 1}}, 401),
        ("alice", {"tags": ["t"], "released_at": "2020-01-01"}, 401),
        ("alice", {}, 200),
    ],
)
async def test_who_changes_what_of_a_global_component(
    client_of: ClientOf, world: World, who: str, body: dict[str, Any], status: int
) -> None:
    before = await component_of(client_of("admin"), world.ids["compose"])

    response = await put(client_of(who), world, world.ids["compose"], body)

    assert response.status_code == status
    after = await component_of(client_of("admin"), world.ids["compose"])
    assert {name: after[name] for name in body} == (body if status == 200 else {name: before[name] for name in body})


async def test_a_tagger_may_send_the_other_values_as_they_are(client_of: ClientOf, world: World) -> None:
    lab, component_id = client_of("red_lab"), world.ids["compose"]
    await world.db.execute(
        "update components set title = 't', message = '', url = 'u', canonical_project_name = '',"
        """ data = '{"b": [1.0], "a": {}}' where id = $1""",
        component_id,
    )
    whole = await component_of(lab, component_id)

    response = await put(lab, world, component_id, {**whole, "type": "COMPOSE", "tags": ["ga"]}, whole["etag"])

    assert response.status_code == 200
    after = await component_of(lab, component_id)
    assert after["tags"] == ["ga"]
    assert {**after, "tags": 0, "etag": 0, "updated_at": 0} == {**whole, "tags": 0, "etag": 0, "updated_at": 0}


@pytest.mark.parametrize("field", [*TEXTS, "type", "data", "topic_id", "released_at", "state"])
async def test_a_tagger_changes_no_other_field(client_of: ClientOf, world: World, field: str) -> None:
    lab, component_id = client_of("red_lab"), world.ids["compose"]
    other = await world.add("topics", name="other", product_id=world.ids["RHEL"], export_control=True)
    value = {"data": {"a": 1}, "topic_id": other, "released_at": "2020-01-01", "state": "inactive"}.get(field, "x")
    before = await component_of(lab, component_id)

    response = await put(lab, world, component_id, {"tags": ["t"], field: value})

    assert (response.status_code, response.json()["message"]) == (401, "Operation not authorized.")
    assert await component_of(lab, component_id) == before


async def test_a_tagger_needs_the_topic(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update topics set export_control = false")

    response = await put(client_of("alice"), world, world.ids["compose"], {"tags": ["t"]})

    assert response.status_code == 401


@pytest.mark.parametrize(("team", "status"), [(None, 401), ("Blue", 200)])
async def test_membership_of_red_hat_adds_no_right_to_tag(
    client_of: ClientOf, world: World, team: str | None, status: int
) -> None:
    """Who reads everything and is in another team has the rights of the other team."""
    if team:
        await world.add("users_teams", user_id=world.ids["user reader"], team_id=world.ids[team])

    response = await put(client_of("reader"), world, world.ids["compose"], {"tags": ["t"]})

    assert response.status_code == status


@pytest.mark.parametrize(
    ("who", "etag", "body", "status", "message"),
    [
        ("bob", "", {"name": 1}, 412, "'If-match' header must be provided"),
        ("bob", "stale", {"name": 1}, 404, "component not found"),
        ("bob", "right", {"name": 1}, 401, "Operation not authorized."),
        ("alice", "right", {"name": 1}, 400, "Request malformed"),
        ("alice", "right", {"title": None}, 400, "Request malformed"),
        ("alice", "right", {"data": None}, 400, "Request malformed"),
        ("alice", "right", {"tags": ["a", 1]}, 400, "tags are either all texts or all numbers"),
        ("alice", "right", {"released_at": "soon"}, 400, "released_at is a time"),
        ("alice", "right", {"name": "n" * 256}, 400, "name has more than 255 characters"),
        ("alice", "right", {"version": "2"}, 409, "We are unable to update this resource. A similar resource"),
        ("alice", "right", {"topic_id": "00000000-0000-4000-8000-000000000000"}, 409, "We are unable to update"),
        ("alice", "stale", {"tags": []}, 404, "component not found"),
    ],
)
async def test_refusals_of_a_change_come_in_order(
    client_of: ClientOf, world: World, who: str, etag: str, body: dict[str, Any], status: int, message: str
) -> None:
    component_id = await blue_component(world)
    await blue_component(world, version="2")
    before = await component_of(client_of("admin"), component_id)
    value = {"right": before["etag"], "stale": "0" * 32}.get(etag, "")

    response = await put(client_of(who), world, component_id, body, value)

    assert response.status_code == status
    assert response.json()["message"].startswith(message)
    assert await component_of(client_of("admin"), component_id) == before


async def test_activating_a_second_of_a_name_is_a_conflict(client_of: ClientOf, world: World) -> None:
    alice, first, second = (
        client_of("alice"),
        await blue_component(world),
        await blue_component(world, state="inactive"),
    )

    refused = await put(alice, world, second, {"state": "active"})
    await put(alice, world, first, {"state": "inactive"})
    accepted = await put(alice, world, second, {"state": "active"})

    assert (refused.status_code, accepted.status_code) == (409, 200)
    assert refused.json()["message"] == "We are unable to update this resource. A similar resource already exists."


@pytest.mark.parametrize(("who", "status"), [("alice", 401), ("blue_lab", 401), ("blue_feeder", 200), ("epm", 200)])
async def test_a_component_moves_only_to_a_topic_its_mover_may_use(
    client_of: ClientOf, world: World, who: str, status: int
) -> None:
    component_id = await blue_component(world)
    secret = await world.add("topics", name="secret", product_id=world.ids["RHEL"], export_control=False)

    response = await put(client_of(who), world, component_id, {"topic_id": secret})

    assert response.status_code == status
    moved = str(await world.db.fetchval("select topic_id from components where id = $1", component_id))
    assert moved == (secret if status == 200 else world.ids["RHEL-9.6"])


async def test_a_component_that_stays_needs_no_topic(client_of: ClientOf, world: World) -> None:
    """A whole component that is sent back names its own topic, too."""
    component_id = await blue_component(world)
    await world.db.execute("update topics set export_control = false")

    response = await put(
        client_of("alice"), world, component_id, {"topic_id": world.ids["RHEL-9.6"], "state": "active", "title": "t"}
    )

    assert response.status_code == 200


async def test_a_component_moves_to_a_topic_of_its_team(client_of: ClientOf, world: World) -> None:
    component_id = await blue_component(world)
    other = await world.add("topics", name="other", product_id=world.ids["RHEL"], export_control=True)

    response = await put(client_of("alice"), world, component_id, {"topic_id": other})

    assert (response.status_code, response.json()["component"]["topic_id"]) == (200, other)


async def test_an_archived_topic_is_no_place_to_move_to_or_to_become_active_in(
    client_of: ClientOf, world: World
) -> None:
    epm = client_of("epm")
    old = await world.add("topics", name="old", product_id=world.ids["RHEL"], state="archived")
    moving, sleeping = await blue_component(world), await blue_component(world, topic_id=old, state="inactive")

    responses = [
        await put(epm, world, moving, {"topic_id": old}),
        await put(epm, world, sleeping, {"state": "active"}),
    ]

    assert [(response.status_code, response.json()["message"]) for response in responses] == [
        (404, "topic not found"),
        (404, "topic not found"),
    ]
    assert await world.db.fetchval("select count(*) from components where topic_id = $1 and state = 'active'", old) == 0


@pytest.mark.parametrize("how", ["delete", "put"])
async def test_a_deleted_component_is_gone_and_jobs_keep_it(client_of: ClientOf, world: World, how: str) -> None:
    alice, component_id, job = client_of("alice"), await blue_component(world), await world.job()
    await world.add("jobs_components", job_id=job, component_id=component_id)
    etag = (await component_of(alice, component_id))["etag"]

    if how == "delete":
        response = await alice.delete(f"/components/{component_id}", headers={"If-match": etag})
    else:
        response = await put(alice, world, component_id, {"state": "archived"})

    assert response.status_code == (204 if how == "delete" else 200)
    if how == "put":
        assert response.json()["component"]["state"] == "archived"
    assert (await alice.get(f"/components/{component_id}")).json()["message"] == "component not found"
    (kept,) = (await alice.get(f"/jobs/{job}")).json()["job"]["components"]
    assert (kept["id"], kept["state"]) == (component_id, "archived")


@pytest.mark.parametrize(
    ("who", "component", "etag", "status"),
    [
        ("bob", "blue", "", 412),
        ("bob", "blue", "stale", 404),
        ("bob", "blue", "right", 401),
        ("reader", "blue", "right", 401),
        ("nobody", "blue", "right", 401),
        ("blue_lab", "blue", "right", 204),
        ("epm", "blue", "right", 204),
        ("alice", "compose", "right", 401),
        ("reader", "compose", "right", 401),
        ("blue_lab", "compose", "right", 401),
        ("blue_feeder", "compose", "right", 204),
        ("admin", "compose", "right", 204),
    ],
)
async def test_who_deletes_which_component(
    client_of: ClientOf, world: World, who: str, component: str, etag: str, status: int
) -> None:
    component_id = await blue_component(world) if component == "blue" else world.ids["compose"]
    right = str(await world.db.fetchval("select etag from components where id = $1", component_id))

    response = await client_of(who).delete(
        f"/components/{component_id}", headers={"If-match": {"right": right, "stale": "0" * 32}.get(etag, "")}
    )

    assert response.status_code == status
    state = await world.db.fetchval("select state from components where id = $1", component_id)
    assert state == ("archived" if status == 204 else "active")
