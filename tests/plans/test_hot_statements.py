# SPDX-License-Identifier: Apache-2.0
"""The statements that are sent all day stay on their indexes: what the server really sends is explained, not a copy of it."""

import asyncio
import re
from collections.abc import Sequence
from hashlib import md5
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from benchmarks.seed import CASE
from dci_server.features.test_results.unused_names import note_unused_names
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World

_GROWING = {"jobs", "components", "jobs_components", "jobstates", "files", "files_contents", "tests_results"}
_PAGE = "limit=20&offset=0"
_IS_PARTIAL = "select indpred is not null from pg_index where indexrelid = $1::text::regclass"
_ROW = {"jobs_pkey", "jobs_components_pkey", "tests_results_job_id_idx"}


class Sent:
    """The statements that reached the pool, with their values."""

    def __init__(self, app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[tuple[asyncio.Task[Any] | None, str, Sequence[object]]] = []
        assert app.services is not None
        pool = app.services.db
        fetchrow = pool.fetchrow

        async def record(query: str, *args: object) -> asyncpg.Record | None:
            self.statements.append((asyncio.current_task(), query, args))
            return await fetchrow(query, *args)

        monkeypatch.setattr(pool, "fetchrow", record)

    def of_this_test(self) -> list[tuple[str, Sequence[object]]]:
        """Background tasks have statements of their own."""
        return [(query, values) for task, query, values in self.statements if task is asyncio.current_task()]

    async def plan_of_last(self, db: "asyncpg.Connection[asyncpg.Record]") -> str:
        """The statement that answered; what came before it looked the caller up."""
        return await self.plan_of("", db)

    async def plan_of(self, words: str, db: "asyncpg.Connection[asyncpg.Record]") -> str:
        """The last statement that has these words."""
        await db.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
        query, values = [sent for sent in self.of_this_test() if words in sent[0]][-1]
        rows = await db.fetch("explain (costs off) " + query, *values)
        return "\n".join(row[0] for row in rows)


@pytest.fixture
def sent(app: Application, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> Sent:
    assert client_of
    return Sent(app, monkeypatch)


@pytest.fixture
async def ids(world: World) -> dict[str, str]:
    """Of the seeded rows that the paths below name."""
    job = await world.db.fetchval(
        "select id from jobs where remoteci_id = $1::uuid order by created_at desc offset 100 limit 1",
        world.ids["blue_lab"],
    )
    idle = await world.db.fetchval("select id from remotecis where name = 'benchmark' order by id limit 1")
    return {"job": str(job), "topic": world.ids["RHEL-9.6"], "remoteci": str(idle)}


def _require(plan: str, indexes: set[str]) -> None:
    used = set(re.findall(r"(?:using|Bitmap Index Scan on) (\w+)", plan))
    walked = set(re.findall(r"Seq Scan on (\w+)", plan)) & _GROWING
    assert indexes <= used, plan
    assert not walked, plan


@pytest.mark.parametrize(
    ("who", "target", "indexes"),
    [
        ("blue_lab", f"/jobs?{_PAGE}", {"jobs_team_id_idx"}),
        ("blue_lab", f"/jobs?{_PAGE}&where=state:active", {"jobs_team_id_idx"}),
        ("alice", "/jobs?limit=200&offset=0&query=eq(state,active)", {"jobs_team_id_idx"}),
        ("admin", f"/jobs?{_PAGE}", {"jobs_created_at_idx"}),
        ("reader", f"/jobs?{_PAGE}&where=state:active", {"jobs_created_at_idx"}),
        ("admin", f"/jobs?{_PAGE}&where=remoteci_id:{{remoteci}}", {"jobs_remoteci_id_idx"}),
        ("admin", f"/jobs?{_PAGE}&where=tags:nowhere", {"jobs_tags_idx"}),
        ("admin", f"/jobs?{_PAGE}&query=contains(tags,nowhere)", {"jobs_tags_idx"}),
        ("admin", "/stats", {"jobs_latest_run_idx"}),
        ("blue_lab", "/stats", {"jobs_latest_run_idx"}),
        ("blue_lab", "/jobs/{job}", {*_ROW, "jobstates_job_id_idx", "files_job_id_idx"}),
        ("blue_lab", "/jobs/{job}/files", {"files_job_id_idx"}),
        ("blue_lab", "/jobs/{job}/jobstates", {"jobstates_job_id_idx"}),
        ("blue_lab", f"/topics/{{topic}}/components?{_PAGE}", {"components_topic_id_created_at_idx"}),
        (
            "blue_lab",
            "/topics/{topic}/components?limit=1&offset=0&sort=-released_at",
            {"components_topic_id_released_at_idx"},
        ),
    ],
)
async def test_a_read_stays_on_its_indexes(
    client_of: ClientOf, sent: Sent, world: World, ids: dict[str, str], who: str, target: str, indexes: set[str]
) -> None:
    response = await client_of(who).get(target.format(**ids))

    assert response.status_code == 200
    _require(await sent.plan_of_last(world.db), indexes)


@pytest.mark.parametrize(
    ("path", "body", "indexes"),
    [
        ("/jobs/schedule", {"topic_id": "{topic}"}, {"components_newest_idx"}),
        ("/jobstates", {"job_id": "{job}", "status": "running"}, {"jobs_pkey"}),
    ],
)
async def test_a_write_stays_on_its_indexes(
    client_of: ClientOf,
    sent: Sent,
    world: World,
    ids: dict[str, str],
    path: str,
    body: dict[str, str],
    indexes: set[str],
) -> None:
    response = await client_of("blue_lab").post(path, json={name: text.format(**ids) for name, text in body.items()})

    assert response.status_code == 201
    plan = await sent.plan_of_last(world.db)
    # A new job names no component here, so the walk over them that the plan mentions is over no rows.
    _require(plan.replace("Seq Scan on components", ""), indexes)


async def test_an_upload_stays_on_its_indexes(
    client_of: ClientOf, sent: Sent, world: World, ids: dict[str, str]
) -> None:
    response = await client_of("blue_lab").post(
        "/files", content=b"x", headers={"DCI-JOB-ID": ids["job"], "DCI-NAME": "log"}
    )

    assert response.status_code == 201
    _require(await sent.plan_of_last(world.db), {"jobs_pkey"})


async def test_the_run_that_a_report_is_compared_with_is_found_by_its_name(
    client_of: ClientOf, sent: Sent, world: World
) -> None:
    job = await world.job(name="a name that no job had")
    headers = {"DCI-JOB-ID": job, "DCI-NAME": "report", "DCI-MIME": "application/junit"}

    response = await client_of("blue_lab").post("/files", content=b"<testsuite/>", headers=headers)

    assert response.status_code == 201
    _require(await sent.plan_of("as previous_job_id", world.db), {"jobs_previous_run_idx"})


@pytest.mark.parametrize("who", ["admin", "alice"])
async def test_a_page_of_a_history_reads_no_more_runs_than_it_shows(
    client_of: ClientOf, sent: Sent, world: World, who: str
) -> None:
    case = UUID(bytes=md5(CASE.encode(), usedforsecurity=False).digest())

    response = await client_of(who).get(f"/cases/{case}/runs?limit=20")

    assert len(response.json()["runs"]) == 20
    plan = await sent.plan_of_last(world.db)
    assert "Incremental Sort" in plan, plan
    assert re.search(r"Index Scan using cases_\w+_test_id", plan), plan


@pytest.mark.parametrize("asked", ["status=failure", "status=failure,error", "state=REGRESSED"])
async def test_the_failures_in_a_history_are_found_without_the_runs_between(
    client_of: ClientOf, sent: Sent, world: World, asked: str
) -> None:
    case = UUID(bytes=md5(CASE.encode(), usedforsecurity=False).digest())

    response = await client_of("admin").get(f"/cases/{case}/runs?limit=20&{asked}")

    assert response.status_code == 200
    used = re.findall(r"Index Scan using (cases_\w+)", await sent.plan_of_last(world.db))
    assert used
    assert all([await world.db.fetchval(_IS_PARTIAL, name) for name in used]), used


async def test_the_failing_cases_of_a_topic_are_counted_from_an_index_alone(
    client_of: ClientOf, sent: Sent, world: World, ids: dict[str, str]
) -> None:
    response = await client_of("blue_lab").get(f"/topics/{ids['topic']}/failing_cases")

    assert response.json()["cases"]
    plan = await sent.plan_of_last(world.db)
    assert re.search(r"Index Only Scan using cases_\w+_number_created_at_test_id_idx", plan), plan


async def test_names_without_cases_are_found_by_the_index_of_cases(app: Application, sent: Sent, world: World) -> None:
    assert app.services is not None

    await note_unused_names(app.services.db)

    plan = await sent.plan_of_last(world.db)
    assert re.search(r"Index Only Scan using cases_\w+_test_id", plan), plan


async def test_a_first_page_without_filter_keeps_its_plan(client_of: ClientOf, sent: Sent) -> None:
    for target in (f"/jobs?{_PAGE}", f"/jobs?{_PAGE}&where=state:active", f"/jobs?{_PAGE}"):
        assert (await client_of("blue_lab").get(target)).status_code == 200

    first, active, again = (text for text, _ in sent.of_this_test() if "json_agg" in text and "from jobs" in text)

    assert first == again
    assert "limit 20" in first
    assert "limit 20" in active


async def test_no_condition_of_a_trigger_is_parsed_with_each_statement(world: World) -> None:
    """PostgreSQL keeps no plan for a condition: a function in SQL would be put into it, which begins with parsing it."""
    found = await world.db.fetch(
        """select tgname, proname from pg_trigger
           join pg_depend on classid = 'pg_trigger'::regclass and objid = pg_trigger.oid
                             and refclassid = 'pg_proc'::regclass
           join pg_proc on pg_proc.oid = refobjid join pg_language on pg_language.oid = prolang
           where lanname = 'sql'"""
    )

    assert [tuple(each) for each in found] == []
