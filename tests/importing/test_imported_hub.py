# SPDX-License-Identifier: Apache-2.0
"""What laboratories and people find on the new hub is what they left on the old one."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from dci_server import migrations
from dci_server.features.packs.actions import pack_next_job
from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.storage import open_store
from tests.databases import run
from tests.importing.conftest import LogIn, NewHub, import_words
from tests.importing.old_hub import PASSWORD_HASH, OldHub


async def test_a_laboratory_finds_its_job_as_it_was(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    await new_hub.report(old_hub)

    lab = await log_in("blue_lab")
    job = (await lab.get(f"/jobs/{old_hub.ids['job']}")).json()["job"]

    stored = dict((await old_hub.db.fetch("select * from jobs where id = $1", old_hub.ids["job"]))[0])
    for name in ("name", "comment", "configuration", "url", "status", "etag", "tags", "user_agent", "client_version"):
        assert job[name] == stored[name], name
    assert job["created_at"] == stored["created_at"].isoformat()
    assert job["updated_at"] == stored["updated_at"].isoformat()
    assert job["previous_job_id"] == str(old_hub.ids["first"])
    assert (job["duration"], job["data"]) == (42, {"a": 1})
    assert job["topic"]["name"] == "RHEL-9.6"
    assert job["topic"]["next_topic_id"] == str(old_hub.ids["RHEL-9.7"])
    assert job["remoteci"]["name"] == "blue_lab"
    assert job["team"]["name"] == "Blue"
    assert job["pipeline"]["name"] == "nightly"
    assert [component["name"] for component in job["components"]] == ["RHEL-9.6.0-1"]
    assert [(kv["key"], kv["value"]) for kv in job["keys_values"]] == [("boot_seconds", 0.1 + 0.2)]
    assert [(state["status"], state["comment"]) for state in job["jobstates"]] == [
        ("new", "it is new"), ("running", "it is running"), ("failure", "it is failure"),
    ]  # fmt: skip
    (result,) = job["results"]
    assert [result[name] for name in ("total", "success", "skips", "failures", "errors", "regressions", "time")] == [
        5, 1, 1, 1, 2, 1, 3,
    ]  # fmt: skip


async def test_bytes_are_those_of_the_old_store(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    await new_hub.report(old_hub)

    lab = await log_in("blue_lab")
    for name in ("small.log", "empty", "limit", "big.bin", "task", "junit"):
        expected = next(old_hub.files.rglob(str(old_hub.ids[name]))).read_bytes()
        answer = await lab.get(f"/files/{old_hub.ids[name]}/content")
        assert (answer.status_code, answer.content == expected) == (200, True), name
    assert (await lab.get(f"/files/{old_hub.ids['gone']}/content")).status_code == 404
    suites = (await lab.get(f"/files/{old_hub.ids['junit']}/junit")).json()
    assert "b" in str(suites)


async def test_small_files_are_in_rows_and_big_ones_in_the_store(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.report(old_hub)

    kept = await new_hub.rows(
        "select name, sha256 is null, is_compressed from files left join files_contents on file_id = files.id order by name"
    )
    stored = {path.name for path in (new_hub.directory / "files" / "files").rglob("*") if path.is_file()}
    assert kept == [
        ("archived", False, False), ("big.bin", False, None), ("empty", False, False), ("gone", True, None),
        ("junit", False, False), ("limit", False, True), ("small.log", False, True), ("task", False, False),
    ]  # fmt: skip
    assert stored == {str(old_hub.ids["big.bin"])}
    (component_file,) = await new_hub.rows("select key, sha256 is null, size, etag from component_files")
    assert (new_hub.directory / "files" / component_file[0]).read_bytes() == b"i" * 70_000
    assert component_file[1:] == (False, 70_000, '"5eb63bbbe01eeed093cb22bb8f5acdc3"')
    assert await new_hub.rows("select * from objects_to_remove") == []


async def test_small_files_of_jobs_that_are_over_are_packed(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    going_on = await old_hub.job("going on", status="running")
    small = [await old_hub.file(f"{n}.log", b"a line\n" * n, job_id=going_on) for n in range(1, 6)]
    await new_hub.report(old_hub)
    db, store = await open_pool(new_hub.url), open_store(str(new_hub.directory / "files"))

    assert not await pack_next_job(db, store, 300)
    while await pack_next_job(db, store, 0):
        pass
    await db.close()

    unpacked = await new_hub.rows(
        "select file_id from files_contents join files on id = file_id where state = 'active'"
    )
    assert {row[0] for row in unpacked} == set(small)
    lab = await log_in("blue_lab")
    assert (await lab.get(f"/files/{old_hub.ids['small.log']}/content")).content == b"one line\n" * 30
    assert "b" in str((await lab.get(f"/files/{old_hub.ids['junit']}/junit")).json()["testsuites"])


async def test_jobs_of_an_import_before_there_were_packs_are_packed(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.report(old_hub)
    await run(new_hub.url, "delete from jobs_to_pack")

    await run(new_hub.url, (Path(migrations.__file__).parent / "0021_imported_jobs_to_pack.sql").read_text())

    assert await new_hub.rows("select job_id from jobs_to_pack") == [(old_hub.ids["job"],)]


@pytest.mark.parametrize(("who", "status"), [("blue_lab", 200), ("red_lab", 404), ("blue_feeder", 200)])
async def test_who_sees_a_blue_job(old_hub: OldHub, new_hub: NewHub, log_in: LogIn, who: str, status: int) -> None:
    await new_hub.report(old_hub, files=False)

    assert (await (await log_in(who)).get(f"/jobs/{old_hub.ids['job']}")).status_code == status


async def test_people_and_rights_are_those_of_the_old_hub(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    await new_hub.report(old_hub, files=False)

    assert await new_hub.rows("select name, role from teams where role is not null order by name") == [
        ("EPM", "epm"), ("Red Hat", "read_only"), ("admin", "super_admin"),
    ]  # fmt: skip
    assert await new_hub.rows("select id from teams where name = 'admin'") == [(old_hub.ids["admin"],)]
    assert await new_hub.rows("select distinct password_hash from users") == [(PASSWORD_HASH,)]
    for table, names in {
        "users_teams": ("user_id", "team_id"),
        "products_teams": ("product_id", "team_id"),
        "teams_components_access": ("team_id", "access_team_id"),
        "users_topics": ("user_id", "topic_id"),
    }.items():
        sql = f"select {', '.join(names)} from {table} order by 1, 2"
        assert await new_hub.rows(sql) == [tuple(row) for row in await old_hub.db.fetch(sql)], table
    assert await new_hub.rows("select user_id, remoteci_id from users_remotecis") == [
        (old_hub.ids["alice"], old_hub.ids["blue_lab"])
    ]
    assert await new_hub.rows("select id, user_id, action from audits") == [
        (old_hub.ids["log"], old_hub.ids["root"], "create_teams")
    ]
    lab = await log_in("blue_lab")
    topics = (await lab.get("/topics")).json()["topics"]
    assert {topic["name"] for topic in topics} == {"RHEL-9.6", "RHEL-9.7"}
    red = (await (await log_in("red_lab")).get("/topics")).json()
    assert red["topics"] == []


async def test_people_log_in_with_their_old_password(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    await new_hub.report(old_hub, files=False)

    for who, team in (("alice", "Blue"), ("root", "admin"), ("reader", "Red Hat")):
        answer = await (await log_in(who)).get("/users/me")
        assert (answer.status_code, answer.json()["user"]["team"][0]["name"]) == (200, team)


async def test_a_job_goes_on_where_the_old_hub_left_it(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    await new_hub.report(old_hub, files=False)
    lab = await log_in("blue_lab")

    state = await lab.post("/jobstates", json={"job_id": str(old_hub.ids["job"]), "status": "success"})
    changed = await lab.put(
        f"/jobs/{old_hub.ids['first']}",
        json={"comment": "here now"},
        headers={"If-match": (await lab.get(f"/jobs/{old_hub.ids['first']}")).json()["job"]["etag"]},
    )

    assert (state.status_code, changed.status_code) == (201, 200)


async def test_the_count_of_jobs_is_exact(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    for number in range(40):
        await old_hub.job(name=f"job {number}", state="archived" if number % 4 == 0 else "active")
    await new_hub.report(old_hub, files=False, batch_bytes=1000)

    listed = (await (await log_in("blue_lab")).get("/jobs", params={"limit": 1, "offset": 0})).json()

    assert listed["_meta"]["count"] == 32
    assert await new_hub.rows("select sum(total)::integer from jobs_totals") == [(32,)]


async def test_no_secret_of_the_old_hub_is_in_the_new_database(
    old_hub: OldHub, new_hub: NewHub, tmp_path: Path
) -> None:
    told = await new_hub.run_as_process(*import_words(old_hub))

    texts = await new_hub.rows("select remotecis::text from remotecis union all select feeders::text from feeders")
    secrets = {
        row["api_secret"]
        for row in await old_hub.db.fetch("select api_secret from remotecis union select api_secret from feeders")
    }
    everything = str(texts) + told.out + told.err
    assert not [secret for secret in secrets if secret in everything]
    assert "hidden-word" not in everything
    assert await new_hub.rows("select count(*) from client_secrets") == [(3,)]


async def test_who_follows_finished_jobs_by_number_goes_on_where_they_were(
    old_hub: OldHub, new_hub: NewHub, log_in: LogIn
) -> None:
    finished = {"job_id": old_hub.ids["job"], "topic_id": old_hub.ids["RHEL-9.6"], "status": "failure"}
    await old_hub.link("jobs_events", id=500, created_at=datetime(2020, 2, 3), **finished)
    await old_hub.db.execute("update counter set sequence = 400, etag = 'of the old hub'")
    await new_hub.report(old_hub)

    root = await log_in("root")
    events = (await root.get("/jobs_events/400?sort=id")).json()["jobs_events"]
    position = (await root.get("/jobs_events/sequence")).json()["sequence"]
    lab = await log_in("blue_lab")
    new = (await lab.post("/jobs", json={"topic_id": str(old_hub.ids["RHEL-9.6"]), "components": []})).json()["job"]
    await lab.post("/jobstates", json={"job_id": new["id"], "status": "failure"})
    later = await _first_beyond(root, 501)

    told = {"id": 500, "created_at": "2020-02-03T00:00:00", **finished}
    assert events == [{name: str(value) if isinstance(value, UUID) else value for name, value in told.items()}]
    assert position == {"sequence": 400, "etag": "of the old hub"}
    assert later["job_id"] == new["id"]


async def test_history_is_no_news(old_hub: OldHub, new_hub: NewHub, log_in: LogIn) -> None:
    """Nobody is told of old runs: not who follows events, not by mail, not a webhook that hears of everything."""
    await new_hub.rows("insert into webhooks (name, url, sealed_secret) values ('all', 'https://example.org', '')")
    await new_hub.import_from(old_hub)
    written = await new_hub.rows("select * from events_outbox")

    lab, root = await log_in("blue_lab"), await log_in("root")
    new = (await lab.post("/jobs", json={"topic_id": str(old_hub.ids["RHEL-9.6"]), "components": []})).json()["job"]
    told = (await root.get("/events?limit=1000")).json()["events"]
    async with asyncio.timeout(60):
        while not (deliveries := await new_hub.rows("select job_id, type from webhooks_deliveries")):
            await asyncio.sleep(0.05)

    assert await new_hub.rows("select count(*) > 0 from users_remotecis") == [(True,)]
    assert await new_hub.rows("select count(*) > 0 from jobs where status = 'failure'") == [(True,)]
    assert written == []
    assert [(event["type"], event["subject"]["id"]) for event in told] == [("job_created", new["id"])]
    assert [(str(job_id), kind) for job_id, kind in deliveries] == [(new["id"], "job_created")]
    assert await new_hub.rows("select * from mails") == []


async def _first_beyond(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
    """Events get their numbers a moment after their cause."""
    async with asyncio.timeout(60):
        while not (found := (await client.get(f"/jobs_events/{number}?sort=id")).json()["jobs_events"]):
            await asyncio.sleep(0.05)
    return found[0]
