# SPDX-License-Identifier: Apache-2.0
"""Rows of cases are kept for as long as the rules say; reports stay, read from their files."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from dci_server.features.retention.actions import remove_rule, set_rule
from dci_server.features.retention.model import Rule
from dci_server.features.test_results import retention_queries
from dci_server.features.test_results.retention import list_expired, remove_expired
from dci_server.features.test_results.upkeep import remove_due_cases
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World

REPORT = b'<testsuite name="s">' + b'<testcase name="a" classname="c"/>' * 3 + b"</testsuite>"


class House:
    def __init__(self, client_of: ClientOf, world: World, db: Connection) -> None:
        self._client_of = client_of
        self.world = world
        self.db = db

    async def report(self, days_ago: int, lab: str = "blue_lab", **values: Any) -> str:
        """Its file. The rows are as old as they are said to be."""
        job = await self.world.job(lab=lab, **values)
        headers = {"DCI-NAME": "r", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
        uploaded = await self._client_of(lab).post("/files", content=REPORT, headers=headers)
        file_id = uploaded.json()["file"]["id"]
        age = timedelta(days=days_ago)
        await self.world.db.execute(
            """update cases set created_at = cases.created_at - $2::interval from tests_results as results
               where results.number = cases.number and results.file_id = $1::uuid""",
            file_id,
            age,
        )
        await self.world.db.execute(
            "update tests_results set cases_at = cases_at - $2::interval where file_id = $1::uuid", file_id, age
        )
        return file_id

    async def month(self, days_ago: int) -> str:
        """A partition for the month of that day."""
        return await self.world.db.fetchval(
            """select format('cases_%s', to_char(utc_now() - make_interval(days => $1), 'YYYY_MM'))""", days_ago
        )

    async def add_month(self, days_ago: int) -> str:
        name = await self.month(days_ago)
        begin, end = await self.world.db.fetchrow(  # type: ignore[misc]
            "select m::text, (m + interval '1 month')::text"
            " from date_trunc('month', utc_now() - make_interval(days => $1)) as m",
            days_ago,
        )
        await self.world.db.execute(f"create table {name} partition of cases for values from ('{begin}') to ('{end}')")
        return name

    async def kept(self) -> int:
        await remove_expired(self.db)
        await remove_due_cases(self.db)
        assert await self.world.count("tests_suites") == await self.world.count("cases") / 3
        assert await self.world.count("cases_to_remove") == 0
        return await self.world.count("cases")


@pytest.fixture
def house(app: Application, client_of: ClientOf, world: World) -> House:
    assert app.services is not None
    return House(client_of, world, app.services.db)


async def test_without_a_rule_everything_is_kept(house: House) -> None:
    await house.report(10_000)

    assert await house.kept() == 3


async def test_what_is_past_a_rule_goes(house: House, client_of: ClientOf) -> None:
    old, young = await house.report(31), await house.report(29)
    await set_rule(house.db, Rule("cases", None, None, 30, []))

    assert await house.kept() == 3
    for file_id in (old, young):
        told = (await client_of("alice").get(f"/files/{file_id}/junit")).json()
        assert told["testsuites"][0]["tests"] == 3


async def test_the_jobs_keep_their_results(house: House, client_of: ClientOf) -> None:
    job = await house.world.db.fetchval("select job_id from files where id = $1::uuid", await house.report(31))
    await set_rule(house.db, Rule("cases", None, None, 30, []))
    await house.kept()

    assert (await client_of("alice").get(f"/jobs/{job}/results")).json()["results"][0]["total"] == 3
    assert (await client_of("alice").get(f"/jobs/{job}/cases")).json()["cases"] == []


async def test_a_tag_keeps_cases(house: House) -> None:
    await house.report(31, tags=["ga", "x"])
    await house.report(31, tags=["nightly"])
    await set_rule(house.db, Rule("cases", None, None, 30, ["ga", "release"]))

    assert await house.kept() == 3


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ([(None, None, 30)], 0),
        ([(None, None, 30), ("RHEL-9.6", None, None)], 6),
        ([(None, None, 30), (None, "Blue", 50)], 3),
        ([(None, "Blue", 30)], 3),
        ([("RHEL-9.6", None, 30), (None, "Blue", None)], 0),
        ([("RHEL-9.6", None, None), ("RHEL-9.6", "Red", 30)], 3),
        ([(None, None, 30), (None, None, 50)], 6),
    ],
)
async def test_the_closest_rule_counts(
    house: House, rules: list[tuple[str | None, str | None, int | None]], kept: int
) -> None:
    await house.report(40)
    await house.report(40, lab="red_lab")
    for topic, team, days in rules:
        await set_rule(house.db, Rule("cases", topic, team, days, []))

    assert await house.kept() == kept


async def test_a_month_of_which_nothing_is_kept_is_dropped(house: House) -> None:
    whole, partly = await house.add_month(200), await house.add_month(100)
    await house.report(200)
    await house.report(200)
    await house.report(100)
    await house.report(100, tags=["ga"])
    await set_rule(house.db, Rule("cases", None, None, 60, ["ga"]))

    removed = await remove_expired(house.db)

    assert (removed.months, removed.results, removed.cases) == ([whole], 3, 9)
    assert await house.kept() == 3
    assert await house.world.db.fetchval("select to_regclass($1)::text", partly) == partly
    assert await house.world.db.fetchval("select to_regclass($1)", whole) is None


async def test_a_drop_that_was_interrupted_is_made_up_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await house.add_month(200)
    await house.report(200)
    await set_rule(house.db, Rule("cases", None, None, 60, []))
    await house.world.db.execute("update tests_results set number = null, cases_at = null")
    await house.world.db.execute("delete from tests_suites")

    assert (await remove_expired(house.db)).months == [name]
    assert await house.kept() == 0


async def test_two_rounds_at_once_do_not_get_into_each_others_way(house: House) -> None:
    name = await house.add_month(200)
    await house.report(200)
    await set_rule(house.db, Rule("cases", None, None, 60, []))
    listed = await retention_queries.list_whole_months(house.db)

    async with house.world.db.transaction():
        await house.world.db.execute("select from tests_results for update")
        busy = await remove_expired(house.db)
    first = await remove_expired(house.db)
    second = [await retention_queries.drop_month(house.db, month) for month in listed]

    assert (busy.results, busy.months) == (0, [])
    assert (first.results, first.months, second) == (1, [name], [True])
    assert await house.kept() == 0


async def test_a_month_that_somebody_reads_for_long_is_dropped_later(house: House, database_url: str) -> None:
    name = await house.add_month(200)
    await house.report(200)
    await set_rule(house.db, Rule("cases", None, None, 60, []))

    backup = await asyncpg.connect(database_url)
    async with backup.transaction():
        await backup.execute(f"select from {name}")
        while_read = await remove_expired(house.db)
    await backup.close()
    later = await remove_expired(house.db)

    assert (while_read.results, while_read.months, later.months) == (1, [], [name])


async def test_a_dry_run_says_what_would_go(house: House) -> None:
    await house.report(31)
    await house.report(31, lab="red_lab")
    await house.report(1)
    await set_rule(house.db, Rule("cases", None, "Blue", 30, []))
    await set_rule(house.db, Rule("cases", "RHEL-9.6", None, None, []))

    of_topic, of_team = sorted(await list_expired(house.db), key=lambda expired: expired.rule.days is not None)

    assert (of_topic.rule.topic, of_topic.results) == ("RHEL-9.6", 0)
    assert (of_team.rule.team, of_team.results) == ("Blue", 0)
    await remove_rule(house.db, "cases", "RHEL-9.6", None)
    (rule,) = await list_expired(house.db)
    assert (rule.results, rule.cases) == (1, 3)
    assert rule.bytes > 0
    assert await house.world.count("cases") == 9


async def test_a_rule_is_of_something_that_exists(house: House) -> None:
    with pytest.raises(NotFound):
        await set_rule(house.db, Rule("cases", "nowhere", None, 30, []))
    with pytest.raises(NotFound):
        await remove_rule(house.db, "cases", None, "Blue")
    with pytest.raises(NotFound):
        await remove_rule(house.db, "cases", "nowhere", None)


async def test_what_was_compared_with_is_told_no_more(house: House, client_of: ClientOf) -> None:
    before, now = await house.report(31), await house.report(0)
    await set_rule(house.db, Rule("cases", None, None, 30, []))
    await house.kept()

    told = (await client_of("alice").get(f"/files/{now}/junit")).json()

    assert before != now
    assert told["previous_job"] is not None
    assert told["testsuites"][0]["testcases"][0]["state"] == "UNCHANGED"
