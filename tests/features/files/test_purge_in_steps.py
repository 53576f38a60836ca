# SPDX-License-Identifier: Apache-2.0
"""What a purge takes with teams, topics, laboratories, products and jobs goes in statements that end in time."""

import pytest

from dci_server.foundation import purges
from tests.conftest import ClientOf, World

ALL = ("jobs", "remotecis", "topics", "teams", "products")
_AT_MOST_TWO = """create function at_most_two() returns trigger language plpgsql as $$ begin
    if (select count(*) from gone) > 2 then raise 'too many'; end if; return null; end $$"""
_WATCH = """create trigger at_most_two after delete on {} referencing old table as gone
            for each statement execute function at_most_two()"""


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purges, "JOBS_LOOKED_FOR_AT_ONCE", 4)
    monkeypatch.setattr(purges, "JOBS_AT_ONCE", 2)
    monkeypatch.setattr(purges, "FILES_AT_ONCE", 2)


async def archived(world: World, plural: str, jobs: int = 5) -> list[str]:
    """Something archived with jobs, each after the one before it, and three files of ten bytes in each; the jobs."""
    product = await world.add("products", name="old", label="OLD")
    topic = await world.add("topics", name="old", product_id=world.ids["RHEL"])
    team = await world.add("teams", name="Green")
    lab = await world.add("remotecis", name="green", team_id=team)
    ids: list[str] = []
    for _ in range(jobs):
        before = ids[-1] if ids else None
        values = {"topic_id": topic, "product_id": product, "remoteci_id": lab, "team_id": team}
        ids.append(await world.add("jobs", **values, previous_job_id=before))
        for name in "abc":
            await world.add("files", name=name, sha256="", size=10, job_id=ids[-1], team_id=team)
    gone = {"jobs": ids, "remotecis": [lab], "topics": [topic], "teams": [team], "products": [product]}[plural]
    await world.db.execute(f"update {plural} set state = 'archived' where id = any($1::uuid[])", gone)
    return ids


async def left(world: World) -> tuple[int, int]:
    return await world.count("jobs"), await world.count("files")


@pytest.mark.parametrize("plural", ALL)
async def test_no_statement_takes_many_jobs_or_files(client_of: ClientOf, world: World, plural: str) -> None:
    kept = await world.job()
    await archived(world, plural)
    await world.db.execute(_AT_MOST_TWO)
    for table in ("jobs", "files"):
        await world.db.execute(_WATCH.format(table))

    purged = await client_of("admin").post(f"/{plural}/purge")

    assert purged.status_code == 204
    assert purged.headers["x-dci-purged-rows"] == ("5" if plural == "jobs" else "1")
    assert purged.headers["x-dci-purged-bytes"] == "150"
    assert [row["id"] for row in await world.db.fetch("select id::text from jobs")] == [kept]
    assert await world.count("files") == 0


@pytest.mark.parametrize("plural", ALL)
async def test_a_purge_that_was_interrupted_goes_on(client_of: ClientOf, world: World, plural: str) -> None:
    oldest = (await archived(world, plural))[0]
    await world.db.execute("create table keeps (id uuid references jobs)")
    await world.db.execute("insert into keeps values ($1)", oldest)
    admin = client_of("admin")

    interrupted = await admin.post(f"/{plural}/purge")
    reached = await left(world)
    await world.db.execute("drop table keeps")
    purged = await admin.post(f"/{plural}/purge")

    assert interrupted.status_code == 409
    assert interrupted.json()["message"].startswith("only some jobs were deleted: ")
    assert reached == (1, 0)
    assert (purged.status_code, purged.headers["x-dci-purged-rows"]) == (204, "1")
    assert await left(world) == (0, 0)


@pytest.mark.parametrize("column", ["previous_job_id", "update_previous_job_id"])
@pytest.mark.parametrize("plural", ALL)
async def test_no_job_goes_when_one_that_stays_refers_to_another(
    client_of: ClientOf, world: World, plural: str, column: str
) -> None:
    ids = await archived(world, plural)
    await world.job(**{column: ids[0]})

    refused = await client_of("admin").post(f"/{plural}/purge")

    assert (refused.status_code, await left(world)) == (409, (6, 15))
    assert refused.json()["message"].startswith(f"nothing was deleted: jobs still refer to archived {plural};")


async def test_no_job_goes_when_its_topic_has_to_stay(client_of: ClientOf, world: World) -> None:
    await archived(world, "topics")
    await world.db.execute("update topics set next_topic_id = (select id from topics where name = 'old')")

    refused = await client_of("admin").post("/topics/purge")

    assert (refused.status_code, await left(world)) == (409, (5, 15))


async def test_no_job_goes_when_its_product_has_to_stay(client_of: ClientOf, world: World) -> None:
    await archived(world, "products")
    await world.db.execute("update topics set product_id = (select id from products where name = 'old')")

    refused = await client_of("admin").post("/products/purge")

    assert (refused.status_code, await left(world)) == (409, (5, 15))


async def test_jobs_of_laboratories_and_pipelines_that_changed_teams_go_too(client_of: ClientOf, world: World) -> None:
    team = await world.add("teams", name="Green", state="archived")
    lab = await world.add("remotecis", name="green", team_id=team)
    pipeline = await world.add("pipelines", name="p", team_id=team)
    await world.job(pipeline_id=pipeline)
    facts = {"topic_id": world.ids["RHEL-9.6"], "product_id": world.ids["RHEL"], "team_id": world.ids["Blue"]}
    await world.add("jobs", remoteci_id=lab, **facts)

    purged = await client_of("admin").post("/teams/purge")

    assert (purged.status_code, await world.count("jobs")) == (204, 0)
