# SPDX-License-Identifier: Apache-2.0
"""The rows of a report's cases are there with it, and go with it."""

import random

import asyncpg
import pytest

from dci_server.features.test_results import reading
from dci_server.features.test_results.upkeep import remove_due_cases
from dci_server.foundation.http import Application
from dci_server.foundation.storage.store import StoreUnavailable
from tests.conftest import ClientOf, World

REPORT = b'<testsuite name="s">' + b'<testcase name="a" classname="c"/>' * 3 + b"</testsuite>"
BIG = b'<testsuite name="s">' + b'<testcase name="a" classname="c" time="1.000"/>' * 6_000 + b"</testsuite>"


async def upload(client_of: ClientOf, job: str, content: bytes, who: str = "blue_lab") -> tuple[int, str]:
    response = await client_of(who).post(
        "/files", content=content, headers={"DCI-NAME": "r", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
    )
    return response.status_code, response.json().get("file", {}).get("id", "")


async def left(app: Application, world: World) -> tuple[int, int, int]:
    """Cases, suites and announcements, after the upkeep has been by."""
    assert app.services is not None
    await remove_due_cases(app.services.db)
    return (
        await world.count("cases"),
        await world.count("tests_suites"),
        await world.count("cases_to_remove"),
    )


@pytest.mark.parametrize(("content", "count"), [(REPORT, 3), (BIG, 6_000)])
async def test_an_upload_leaves_a_row_for_each_case(
    app: Application, client_of: ClientOf, world: World, content: bytes, count: int
) -> None:
    status, _ = await upload(client_of, await world.job(), content)

    assert status == 201
    assert await left(app, world) == (count, 1, 0)


@pytest.mark.parametrize(("content", "total"), [(REPORT, 3), (BIG, 6_000)])
async def test_cases_beyond_what_a_report_may_have_are_counted_only(
    app: Application, client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch, content: bytes, total: int
) -> None:
    monkeypatch.setattr(reading, "MOST_CASES", total - 1)
    job = await world.job()

    status, file_id = await upload(client_of, job, content)

    assert status == 201
    assert await left(app, world) == (0, 0, 0)
    (result,) = (await client_of("alice").get(f"/jobs/{job}/results")).json()["results"]
    assert (result["total"], result["success"], result["time"]) == (total, total, 0 if content == REPORT else 6_000)
    (suite,) = (await client_of("alice").get(f"/files/{file_id}/junit")).json()["testsuites"]
    assert (suite["tests"], [case["name"] for case in suite["testcases"]]) == (total, ["a"])
    assert (await client_of("alice").get(f"/jobs/{job}/cases")).json() == {"cases": [], "_meta": {"next": None}}


async def test_the_name_of_a_suite_is_not_stored_with_each_of_its_cases(client_of: ClientOf, world: World) -> None:
    name = "".join(random.Random(1).choices("abcdefgh", k=2_000))
    cases = b"".join(b'<testcase name="%d"/>' % number for number in range(500))

    await upload(client_of, await world.job(), b'<testsuite name="%b">%b</testsuite>' % (name.encode(), cases))

    stored = await world.db.fetchval(
        "select (select sum(pg_column_size(t.*)) from test_names as t) + (select sum(pg_column_size(s.*)) from tests_suites as s)"
    )
    assert stored < len(name) + 500 * 100


@pytest.mark.parametrize("content", [REPORT[:-3], BIG[:-3]])
async def test_what_is_not_whole_leaves_no_case(
    app: Application, client_of: ClientOf, world: World, content: bytes
) -> None:
    status, _ = await upload(client_of, await world.job(), content)

    assert status == 400
    assert await left(app, world) == (0, 0, 0)


@pytest.mark.parametrize("content", [REPORT, BIG])
async def test_what_is_refused_leaves_no_case(
    app: Application, client_of: ClientOf, world: World, content: bytes
) -> None:
    status, _ = await upload(client_of, await world.job(), content, who="red_lab")

    assert status == 401
    assert await left(app, world) == (0, 0, 0)


async def test_a_store_that_fails_at_the_end_leaves_no_case(
    app: Application, client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailable("the file store is full")

    assert app.services is not None
    upload_of_store = type(await app.services.store.begin())
    monkeypatch.setattr(upload_of_store, "commit", full)

    status, _ = await upload(client_of, await world.job(), BIG)

    assert status == 503
    assert await left(app, world) == (0, 0, 0)


async def test_cases_whose_announcement_expired_are_not_claimed(
    app: Application, client_of: ClientOf, world: World
) -> None:
    await world.db.execute(
        "create function expire() returns trigger language plpgsql as $$ begin"
        " update cases_to_remove set not_before = utc_now(); return null; end $$"
    )
    await world.db.execute("create trigger expire after insert on cases for each statement execute function expire()")
    job = await world.job()

    status, _ = await upload(client_of, job, BIG)

    assert status == 503
    assert (await client_of("alice").get(f"/jobs/{job}/files")).json()["files"] == []
    assert await left(app, world) == (0, 0, 0)


async def test_the_cases_of_a_purged_file_go(app: Application, client_of: ClientOf, world: World) -> None:
    job = await world.job()
    _, kept = await upload(client_of, job, REPORT)
    _, deleted = await upload(client_of, job, BIG)
    assert (await client_of("blue_lab").delete(f"/files/{deleted}")).status_code == 204
    assert (await client_of("admin").post("/files/purge")).status_code == 204

    assert await left(app, world) == (3, 1, 0)
    assert (await client_of("alice").get(f"/files/{kept}/junit")).json()["testsuites"][0]["tests"] == 3


async def test_the_cases_of_a_purged_team_go(app: Application, client_of: ClientOf, world: World) -> None:
    await upload(client_of, await world.job(), REPORT)
    await world.db.execute("delete from teams where name = 'Blue'")

    assert await left(app, world) == (0, 0, 0)


async def test_a_case_has_one_name_for_all_reports(client_of: ClientOf, world: World) -> None:
    for _ in range(2):
        await upload(client_of, await world.job(), REPORT)
    await upload(client_of, await world.job(lab="red_lab"), REPORT, who="red_lab")

    assert await world.count("cases") == 9
    assert await world.count("test_names") == 1


async def test_a_month_that_was_not_prepared_refuses_nothing(client_of: ClientOf, world: World) -> None:
    for name in await world.db.fetch("select relname from pg_class where relname ~ '^cases_20[0-9_]+$'"):
        await world.db.execute(f"drop table {name['relname']}")

    status, file_id = await upload(client_of, await world.job(), REPORT)
    await world.db.execute("select prepare_months_of_cases()")

    assert status == 201
    assert await world.count("cases_of_no_month") == 0
    assert (await client_of("alice").get(f"/files/{file_id}/junit")).json()["testsuites"][0]["tests"] == 3


async def test_a_month_is_prepared_while_cases_arrive(client_of: ClientOf, world: World, database_url: str) -> None:
    """Somebody has written cases and not committed yet: the partitions of other months come nevertheless."""
    (last,) = await world.db.fetch(
        "select relname from pg_class where relname ~ '^cases_20[0-9]+_[0-9]+$' order by relname desc limit 1"
    )
    await world.db.execute(f"drop table {last['relname']}")
    await upload(client_of, await world.job(), REPORT)
    writer: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    writing = writer.transaction()
    await writing.start()
    month = await world.db.fetchval("select tableoid::regclass::text from cases limit 1")
    await writer.execute(f"insert into cases select * from {month} limit 1")

    await world.db.execute("set lock_timeout = '2s'")
    await world.db.execute("select prepare_months_of_cases()")

    assert await world.db.fetchval("select to_regclass($1) is not null", last["relname"])
    await writing.rollback()
    await writer.close()
