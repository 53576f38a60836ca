# SPDX-License-Identifier: Apache-2.0
"""What happened is told once, in order, to those who may see what it is about."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dci_server.features.events import queries
from dci_server.features.events.model import TYPES
from tests.conftest import EVERYBODY, ClientOf, World


async def _head(client: httpx.AsyncClient) -> int:
    return (await client.get("/events")).json()["_meta"]["last"]


async def _since(client: httpx.AsyncClient, after: int, **filters: str) -> list[dict[str, Any]]:
    response = await client.get("/events", params={"after": after, "limit": 1000, **filters})
    assert response.status_code == 200
    return response.json()["events"]


def _told(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def _post(client: httpx.AsyncClient, path: str, body: object, status: int = 201) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json() if response.content else {}


JUNIT = b'<testsuite name="all"><testcase name="one" classname="a"/><testcase name="two" classname="a"><failure/></testcase></testsuite>'


async def _run(client: httpx.AsyncClient, world: World) -> str:
    """A job from its beginning to its end."""
    job = (await _post(client, "/jobs/schedule", {"topic_id": world.ids["RHEL-9.6"], "name": "nightly"}))["job"]
    for status in ("pre-run", "running"):
        await _post(client, "/jobstates", {"job_id": job["id"], "status": status, "comment": "it goes on"})
    headers = {"DCI-JOB-ID": job["id"], "DCI-NAME": "results.xml", "DCI-MIME": "application/junit"}
    assert (await client.post("/files", content=JUNIT, headers=headers)).status_code == 201
    await _post(client, "/jobstates", {"job_id": job["id"], "status": "failure"})
    return job["id"]


async def test_a_run_is_told_in_its_order(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    before = await _head(lab)

    job_id = await _run(lab, world)

    events = await _since(lab, before)
    assert _told(events) == [
        "job_created",
        "job_state_changed",
        "job_state_changed",
        "file_uploaded",
        "results_stored",
        "job_state_changed",
        "job_finished",
    ]
    assert [event["id"] for event in events] == list(range(before + 1, before + 8))
    for event in events:
        assert event["job_id"] == job_id
        assert event["team_id"] == world.ids["Blue"]
        assert event["topic_id"] == world.ids["RHEL-9.6"]
        assert event["remoteci_id"] == world.ids["blue_lab"]
    counters = {"total": 2, "success": 1, "skips": 0, "failures": 1, "errors": 0, "regressions": 0, "successfixes": 0}
    assert events[0]["data"]["name"] == "nightly"
    assert events[1]["data"]["status"] == "pre-run"
    assert events[1]["data"]["comment"] == "it goes on"
    assert {event["actor_id"] for event in events} == {world.ids["blue_lab"]}
    assert events[3]["data"] == {
        "name": "results.xml", "mime": "application/junit", "size": len(JUNIT), "jobstate_id": None,
    }  # fmt: skip
    assert events[4]["subject"] == events[3]["subject"] == {"kind": "file", "id": events[3]["subject"]["id"]}
    assert counters.items() <= events[4]["data"].items()
    assert events[6]["data"]["status"] == "failure"
    assert events[6]["data"]["results"] == counters


async def test_an_event_has_the_moment_of_its_cause(client_of: ClientOf, world: World) -> None:
    lab, job_id = client_of("blue_lab"), await world.job()
    before = await _head(lab)

    state = (await _post(lab, "/jobstates", {"job_id": job_id, "status": "running"}))["jobstate"]

    (event,) = await _since(lab, before)
    assert event["created_at"] == state["created_at"]
    assert event["data"]["jobstate_id"] == state["id"]


@pytest.mark.parametrize(
    ("statuses", "finished"),
    [
        (["success"], ["success"]),
        (["failure", "failure"], ["error"]),
        (["running", "failure", "error"], ["failure"]),
        (["success", "running", "success"], ["success", "success"]),
        (["pre-run", "killed"], []),
    ],
)
async def test_a_job_finishes_when_it_was_not_over(
    client_of: ClientOf, world: World, statuses: list[str], finished: list[str]
) -> None:
    lab, job_id = client_of("blue_lab"), await world.job()
    before = await _head(lab)

    for status in statuses:
        await _post(lab, "/jobstates", {"job_id": job_id, "status": status})

    events = await _since(lab, before, type="job_finished")
    assert [event["data"]["jobstate_status"] for event in events] == finished


async def test_a_change_of_a_job_names_what_changed_and_who_did_it(client_of: ClientOf, world: World) -> None:
    alice, job_id = client_of("alice"), await world.job()
    before = await _head(alice)

    for changes in (
        {"comment": "x", "tags": ["a"]},
        {"status": "success"},
        {"status": "failure"},
        {"state": "archived"},
    ):
        etag = (await alice.get(f"/jobs/{job_id}")).headers["etag"]
        assert (await alice.put(f"/jobs/{job_id}", json=changes, headers={"If-match": etag})).status_code == 200

    events = await _since(alice, before)
    assert _told(events) == [
        "job_updated",
        *["job_updated", "job_state_changed", "job_finished"] * 2,
        "job_archived",
    ]
    assert {event["actor_id"] for event in events} == {world.ids["user alice"]}
    assert events[0]["data"]["changed"] == ["comment", "tags"]
    assert events[-1]["data"]["changed"] == ["state"]


async def test_who_watches_a_job_hears_of_what_is_added_to_it_and_taken_from_it(
    client_of: ClientOf, world: World
) -> None:
    alice, job_id = client_of("alice"), await world.job()
    rpm = await world.add("components", name="a-1", display_name="a-1", type="rpm", topic_id=world.ids["RHEL-9.6"])
    state = (await _post(client_of("blue_lab"), "/jobstates", {"job_id": job_id, "status": "running"}))["jobstate"]
    before = await _head(alice)

    async def remove(path: str, status: int, body: object = None) -> None:
        assert (await alice.request("DELETE", path, json=body)).status_code == status

    for _ in range(2):
        await _post(alice, f"/jobs/{job_id}/components", {"id": rpm})
    for _ in range(2):
        await remove(f"/jobs/{job_id}/components/{rpm}", 201)
    await _post(alice, f"/jobs/{job_id}/kv", {"key": "speed", "value": 1.5})
    await _post(alice, f"/jobs/{job_id}/kv", {"key": "speed", "value": 2}, status=409)
    for _ in range(2):
        await remove(f"/jobs/{job_id}/kv", 204, {"key": "speed"})
    await remove(f"/jobstates/{state['id']}", 204)

    events = (await alice.get(f"/jobs/{job_id}/events?after={before}")).json()["events"]
    job = {"name": "", "status": "running", "state": "active"}
    assert [event["data"] for event in events] == [
        job | {"changed": ["components"], "added": {"id": rpm, "name": "a-1"}},
        job | {"changed": ["components"], "removed": {"id": rpm, "name": "a-1"}},
        job | {"changed": ["keys_values"], "added": {"key": "speed", "value": 1.5}},
        job | {"changed": ["keys_values"], "removed": {"key": "speed", "value": 1.5}},
        job | {"changed": ["jobstates"], "removed": {"id": state["id"], "status": "running"}},
    ]
    assert {event["type"] for event in events} == {"job_updated"}
    assert {event["actor_id"] for event in events} == {world.ids["user alice"]}
    assert {event["team_id"] for event in events} == {world.ids["Blue"]}
    assert {event["remoteci_id"] for event in events} == {world.ids["blue_lab"]}
    assert {event["subject"]["id"] for event in events} == {job_id}
    assert await _since(alice, before) == events
    assert await _since(client_of("bob"), before) == []


async def test_the_catalogue_teams_and_laboratories_are_told(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    before = await _head(admin)

    async def change(path: str, changes: object) -> None:
        one = (await admin.get(path)).json()
        (resource,) = one.values()
        response = await admin.put(path, json=changes, headers={"If-match": resource["etag"]})
        assert response.status_code == 200, response.text

    topic = (await _post(admin, "/topics", {"name": "new", "product_id": world.ids["RHEL"], "component_types": ["a"]}))[
        "topic"
    ]
    new = {"name": "c", "type": "a", "topic_id": topic["id"], "state": "inactive", "data": {"password": "hidden"}}
    component = (await _post(admin, "/components", new))["component"]
    await change(f"/components/{component['id']}", {"state": "active"})
    await change(f"/components/{component['id']}", {"title": "t", "data": {"password": "hidden too"}})
    await change(f"/topics/{topic['id']}", {"data": {"registry": {"password": "hidden"}}})
    team = (await _post(admin, "/teams", {"name": "Pink"}))["team"]
    await change(f"/teams/{team['id']}", {"country": "FR"})
    lab = (await _post(admin, "/remotecis", {"name": "pink", "team_id": team["id"]}))["remoteci"]
    await change(f"/remotecis/{lab['id']}", {"public": True, "data": {"password": "hidden"}})
    etag = (await admin.get(f"/remotecis/{lab['id']}")).headers["etag"]
    rotated = await admin.put(f"/remotecis/{lab['id']}/api_secret", headers={"If-match": etag})

    assert rotated.status_code == 200
    events = await _since(admin, before)
    assert [(event["type"], event["subject"]["id"]) for event in events] == [
        ("topic_changed", topic["id"]),
        ("component_created", component["id"]),
        ("component_activated", component["id"]),
        ("component_updated", component["id"]),
        ("topic_changed", topic["id"]),
        ("team_changed", team["id"]),
        ("team_changed", team["id"]),
        ("remoteci_changed", lab["id"]),
        ("remoteci_changed", lab["id"]),
        ("secret_rotated", lab["id"]),
    ]
    assert [event["data"].get("changed") for event in events[3:]] == [
        ["data", "title"], ["data"], [], ["country"], [], ["data", "public"], None,
    ]  # fmt: skip
    assert {event["actor_id"] for event in events} == {world.ids["user admin"]}
    text = str(events)
    assert "hidden" not in text
    assert "password" not in text
    assert rotated.json()["remoteci"]["api_secret"] not in text


async def test_a_page_says_where_to_go_on(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    before = await _head(lab)
    await _run(lab, world)
    collected: list[int] = []

    after, last = before, before + 1
    while after < last:
        answer = (await lab.get(f"/events?after={after}&limit=2")).json()
        collected += [event["id"] for event in answer["events"]]
        after, last = answer["_meta"]["after"], answer["_meta"]["last"]

    assert collected == list(range(before + 1, before + 8))
    assert (await lab.get(f"/events?after={after + 50}")).json()["_meta"]["after"] == after + 50


async def test_a_filter_that_little_meets_looks_at_so_much_and_no_more(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW", 3)
    lab = client_of("blue_lab")
    before = await _head(lab)
    await _run(lab, world)

    first = (await lab.get(f"/events?after={before}&type=job_finished")).json()
    pages = [first]
    while pages[-1]["_meta"]["after"] < pages[-1]["_meta"]["last"]:
        pages.append((await lab.get(f"/events?after={pages[-1]['_meta']['after']}&type=job_finished")).json())

    assert first["events"] == []
    assert first["_meta"]["after"] == before + 3
    assert [event["type"] for page in pages for event in page["events"]] == ["job_finished"]


async def test_filters_hold_together(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    blue, red = await world.job("blue_lab"), await world.job("red_lab")
    await _post(client_of("blue_lab"), "/jobstates", {"job_id": blue, "status": "running"})

    async def jobs(**filters: str) -> list[str]:
        return [event["job_id"] for event in await _since(admin, 0, **filters) if event["job_id"]]

    assert await jobs(type="job_created") == [blue, red]
    assert await jobs(type="job_created,job_state_changed", team_id=world.ids["Blue"]) == [blue, blue]
    assert await jobs(remoteci_id=world.ids["red_lab"]) == [red]
    assert await jobs(job_id=blue) == [blue, blue]
    assert await jobs(topic_id=str(uuid4())) == []


@pytest.mark.parametrize(
    "query",
    ["type=unheard", "team_id=x", "after=-1", "after=x", "limit=0", "limit=1001", "limit=x", "team=x", "where=a:b"],
)
async def test_what_is_no_filter_is_refused(client_of: ClientOf, query: str) -> None:
    response = await client_of("alice").get(f"/events?{query}")

    assert response.status_code == 400
    assert query.partition("=")[0] in response.json()["message"]


@pytest.mark.parametrize(
    ("what", "seers"),
    [
        ("job", {"admin", "epm", "reader", "alice", "blue_lab", "blue_feeder"}),
        ("component of Blue", {"admin", "epm", "reader", "alice", "blue_lab", "blue_feeder"}),
        ("team", {"admin", "epm", "reader", "alice", "blue_lab", "blue_feeder"}),
        ("global component", {"admin", "epm", "reader", "alice", "blue_lab", "bob", "red_lab", "blue_feeder"}),
        ("topic before its release", {"admin", "epm", "reader", "blue_feeder"}),
        ("component before its release", {"admin", "epm", "reader", "blue_feeder"}),
    ],
)
async def test_who_sees_an_event(client_of: ClientOf, world: World, what: str, seers: set[str]) -> None:
    hidden = await world.add("topics", name="hidden", product_id=world.ids["RHEL"], export_control=False)
    component = {"name": "c", "type": "c", "topic_id": world.ids["RHEL-9.6"]}
    before = await _head(client_of("admin"))
    match what:
        case "job":
            await world.job()
        case "component of Blue":
            await world.add("components", **component, team_id=world.ids["Blue"])
        case "team":
            await world.db.execute("update teams set country = 'FR', etag = new_etag() where name = 'Blue'")
        case "global component":
            await world.add("components", **component)
        case "topic before its release":
            await world.db.execute("update topics set state = 'inactive', etag = new_etag() where id = $1", hidden)
        case _:
            await world.add("components", **{**component, "topic_id": hidden})

    seen = {who for who in EVERYBODY if await _since(client_of(who), before)}

    assert seen == seers


def test_every_type_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "events.md").read_text()

    assert [name for name in TYPES if f"`{name}`" not in page] == []
