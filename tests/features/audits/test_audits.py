# SPDX-License-Identifier: Apache-2.0
"""Whoever changes something, wants to, or is refused, is written down."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from starlette.types import Message

from dci_server.foundation import auditing
from dci_server.foundation.auditing import AuditLog
from dci_server.foundation.http import Application
from dci_server.foundation.metrics import Metrics
from tests.conftest import ClientOf, World, started
from tests.signing import SignedBy


async def _audits(client_of: ClientOf, query: str = "limit=200&offset=0&sort=created_at") -> list[dict[str, Any]]:
    response = await client_of("admin").get(f"/audits?{query}")
    assert response.status_code == 200
    return response.json()["audits"]


async def test_each_call_that_changes_something_says_who_what_whence_and_how_it_went(
    client_of: ClientOf, world: World
) -> None:
    job_id = await world.job()
    await client_of("blue_lab").post("/jobstates", json={"job_id": job_id, "status": "running"})
    await client_of("bob").put(f"/jobs/{job_id}", json={}, headers={"If-match": "x"})
    await client_of("alice").post("/jobstates", json={"status": "running"})
    await client_of("alice").get(f"/jobs/{job_id}")

    told = await _audits(client_of)

    assert [(each["user_id"], each["kind"], each["action"], each["method"], each["status"]) for each in told] == [
        (world.ids["blue_lab"], "remoteci", "add_jobstate", "POST", 201),
        (world.ids["user bob"], "user", "update_job_by_id", "PUT", 401),
        (world.ids["user alice"], "user", "add_jobstate", "POST", 400),
    ]
    assert told[1]["path"] == f"/api/v1/jobs/{job_id}"
    assert {each["address"] for each in told} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/teams", "create_teams"),
        ("POST", "/products", "create_product"),
        ("PUT", f"/jobs/{uuid4()}", "update_job_by_id"),
        ("DELETE", f"/jobs/{uuid4()}", "delete_job_by_id"),
    ],
)
async def test_what_was_written_down_before_keeps_its_name(
    client_of: ClientOf, world: World, method: str, path: str, action: str
) -> None:
    await client_of("alice").request(method, path, json={})

    (audit,) = await _audits(client_of)
    assert audit["action"] == action
    assert audit["user_id"] == world.ids["user alice"]


async def test_reads_are_written_down_when_they_are_refused(client_of: ClientOf, world: World) -> None:
    await client_of("alice").get("/audits")
    await client_of("stranger").get("/jobs")
    forged = {"Authorization": client_of("blue_lab").headers.get("authorization", "DCI2-HMAC-SHA256 nonsense")}
    await client_of("stranger").get("/identity", headers=forged)

    told = await _audits(client_of)

    assert [(each["user_id"], each["action"], each["status"]) for each in told] == [
        (world.ids["user alice"], "list_audits", 401),
        (None, "list_jobs", 401),
        (None, "get_identity", 401),
    ]


async def test_audits_can_be_looked_through(client_of: ClientOf, world: World) -> None:
    for who in ("alice", "bob"):
        await client_of(who).post("/teams", json={"name": "x"})

    of_bob = await _audits(client_of, f"where=user_id:{world.ids['user bob']},status:401")

    assert [each["user_id"] for each in of_bob] == [world.ids["user bob"]]


async def test_audits_are_only_added_to(client_of: ClientOf, world: World) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})
    assert len(await _audits(client_of)) == 1

    for statement in ("update audits set user_id = null", "delete from audits", "truncate audits"):
        with pytest.raises(asyncpg.RaiseError):
            await world.db.execute(statement)

    assert len(await _audits(client_of)) == 1


async def test_audits_go_when_they_are_old_enough(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})
    await world.add("audits", action="old", created_at=await world.db.fetchval("select utc_now() - interval '9 days'"))
    log = AuditLog(world.db, timedelta(days=8), tmp_path / "audits", Metrics())

    await log._remove_old()  # pyright: ignore[reportPrivateUsage] # once, not in an hour

    assert [each["action"] for each in await _audits(client_of)] == ["create_teams"]


async def test_strangers_can_not_fill_the_memory(
    client_of: ClientOf, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_MOST_REMEMBERED_OF_STRANGERS", 3)
    assert app.services is not None
    await app.services.audits.stop()

    stranger = client_of("stranger")
    answers: list[httpx.Response] = [await stranger.get("/jobs") for _ in range(5)]
    await client_of("alice").post("/teams", json={"name": "x"})

    assert {each.status_code for each in answers} == {401}
    assert [each["action"] for each in await _audits(client_of)] == [*["list_jobs"] * 3, "create_teams"]


async def test_a_server_that_stops_has_written_them_down(client_of: ClientOf, world: World, app: Application) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})
    assert app.services is not None

    await app.services.audits.stop()

    assert await world.count("audits") == 1


async def test_what_a_call_was_about_is_found_by_its_id(client_of: ClientOf, world: World) -> None:
    made = (await client_of("admin").post("/teams", json={"name": "New"})).json()["team"]["id"]
    await client_of("bob").delete(f"/teams/{made}", headers={"If-match": "x"})
    await client_of("admin").post(f"/teams/{made}/users/{world.ids['user alice']}")
    await client_of("admin").post("/products", json={"name": "other", "label": "OTHER"})

    told = await _audits(client_of, f"where=subject_id:{made}&sort=created_at")

    assert [(each["action"], each["status"]) for each in told] == [
        ("create_teams", 201),
        ("delete_team", 401),
        ("add_member", 201),
    ]


async def test_an_upload_in_pieces_is_found_by_its_id(client_of: ClientOf, world: World) -> None:
    job = base64.b64encode((await world.job()).encode()).decode()
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": f"job_id {job},name eA=="}
    opened = await client_of("alice").post("/uploads", headers=headers)
    place = opened.headers["location"].removeprefix("/api/v1")
    await client_of("alice").delete(place, headers=headers)

    told = await _audits(client_of, f"where=subject_id:{place.rpartition('/')[2]}&sort=created_at")

    assert [each["action"] for each in told] == ["open_upload", "end_upload"]


async def test_a_wrong_proof_says_whose_it_was_to_be(client_of: ClientOf, world: World, app: Application) -> None:
    stranger = client_of("stranger")
    wrong_key = SignedBy(f"remoteci/{world.ids['blue_lab']}", "wrong")
    await stranger.get("/identity", auth=("alice", "wrong"))
    await stranger.get("/identity", auth=("whoever", "wrong"))
    await stranger.get("/identity", auth=wrong_key)

    told = await _audits(client_of)

    assert [(each["user_id"], each["claimed_id"], each["status"]) for each in told] == [
        (None, world.ids["user alice"], 401),
        (None, None, 401),
        (None, world.ids["blue_lab"], 401),
    ]


async def test_whatever_is_refused_is_written_down(client_of: ClientOf, world: World) -> None:
    job = await world.job()
    lab, bob, admin = client_of("blue_lab"), client_of("bob"), client_of("admin")
    big = "x" * 3_000_000
    upload = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answers = [
        await bob.get(f"/jobs/{job}"),
        await bob.post("/nothing/here", json={}),
        await bob.patch("/jobs", json={}),
        await lab.put(f"/jobs/{job}", json={"comment": "x"}, headers={"If-match": "stale"}),
        await lab.put(f"/jobs/{job}", json={"comment": "x"}),
        await lab.post("/jobstates", json={"job_id": job, "status": "new", "comment": big}),
        await lab.post("/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": str(uuid4())}),
        await admin.patch(f"/uploads/{uuid4()}", content=b"x", headers=upload),
        await admin.post("/teams", json={"name": "Blue"}),
    ]

    told = await _audits(client_of)

    assert [response.status_code for response in answers] == [404, 404, 405, 404, 412, 413, 404, 404, 409]
    assert [(each["method"], each["status"]) for each in told] == [
        (response.request.method, response.status_code) for response in answers
    ]
    assert [told[0]["subject_id"], told[1]["action"], told[2]["action"]] == [job, "no_such_call", "no_such_call"]


async def test_reads_of_a_team_that_is_not_active_are_refused_and_written_down(
    client_of: ClientOf, world: World
) -> None:
    await world.db.execute("update teams set state = 'inactive' where name = 'Blue'")

    refused = await client_of("blue_lab").get("/jobs")

    (audit,) = await _audits(client_of)
    assert (refused.status_code, audit["status"], audit["user_id"]) == (412, 412, world.ids["blue_lab"])


@pytest.mark.parametrize(("proxies", "address"), [("127.0.0.1", "203.0.113.7"), ("", "127.0.0.1")])
async def test_the_address_is_what_a_trusted_proxy_says(
    database_url: str, key: str, tmp_path: Path, world: World, proxies: str, address: str
) -> None:
    async with started(database_url, key, tmp_path, DCI_TRUSTED_PROXIES=proxies) as app:
        transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
        async with httpx.AsyncClient(transport=transport, base_url="http://dci.test/api/v1") as stranger:
            await stranger.get("/jobs", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.7"})

    assert await world.db.fetchval("select address from audits") == address


async def test_who_goes_away_within_a_request_is_written_down(
    client_of: ClientOf, world: World, app: Application
) -> None:
    head = client_of("alice").build_request("POST", "/teams", content=b"{}")
    head.headers["authorization"] = httpx.BasicAuth("alice", world.passwords["alice"])._auth_header  # pyright: ignore
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/teams", "raw_path": b"/api/v1/teams", "query_string": b"",
        "headers": head.headers.raw, "client": ("127.0.0.1", 1),
    }  # fmt: skip

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        raise AssertionError("nobody is left to answer")

    await app({**scope, "headers": [(name.lower(), value) for name, value in head.headers.raw]}, gone, send)

    (audit,) = await _audits(client_of)
    assert (audit["user_id"], audit["status"]) == (world.ids["user alice"], 499)
