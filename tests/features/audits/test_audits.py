# SPDX-License-Identifier: Apache-2.0
"""Whoever changes something, wants to, or is refused, is written down."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from dci_server.foundation import auditing
from dci_server.foundation.auditing import AuditLog
from dci_server.foundation.http import Application
from dci_server.foundation.metrics import Metrics
from tests.conftest import ClientOf, World


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
