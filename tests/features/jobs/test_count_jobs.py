# SPDX-License-Identifier: Apache-2.0
"""`_meta.count` is exact, whether it comes from the running totals, from a page that is not full, or from a count."""

import asyncpg
import pytest

from tests.conftest import ClientOf, World


async def _count(client_of: ClientOf, who: str, query: str = "") -> int:
    answer = await client_of(who).get(f"/jobs?{query}")
    assert answer.status_code == 200
    return answer.json()["_meta"]["count"]


@pytest.mark.parametrize("asked", ["where=state:active", "query=eq(state,active)"])
async def test_the_total_of_active_jobs_follows_every_change(client_of: ClientOf, world: World, asked: str) -> None:
    jobs = [await world.job() for _ in range(5)]
    await world.job(lab="red_lab")
    await world.db.execute("update jobs set state = 'inactive' where id = any($1::uuid[])", jobs[:3])
    await world.db.execute("update jobs set state = 'archived' where id = any($1::uuid[])", jobs[2:4])
    await world.db.execute("update jobs set state = 'active' where id = $1::uuid", jobs[0])

    assert await _count(client_of, "alice", asked) == 2
    assert await _count(client_of, "alice") == 3
    assert await _count(client_of, "admin", asked) == 3
    assert await _count(client_of, "alice", "where=state:inactive") == 1

    await world.db.execute("update jobs set team_id = $1::uuid where id = $2::uuid", world.ids["Red"], jobs[0])
    await world.db.execute("delete from jobs where id = $1::uuid", jobs[4])

    assert await _count(client_of, "alice", asked) == 0
    assert await _count(client_of, "bob", asked) == 2
    assert await _count(client_of, "alice") == 1


async def test_the_totals_follow_a_statement_that_changes_many_jobs_of_several_teams(world: World) -> None:
    blue = [await world.job(state=state) for state in ("active", "active", "inactive", "archived")]
    red = [await world.job(lab="red_lab") for _ in range(3)]

    await world.db.execute(
        """with moved as (update jobs set team_id = $1::uuid where id = any($2::uuid[])),
                lost as (update jobs set state = 'archived' where id = any($3::uuid[])),
                another as (insert into jobs (topic_id, product_id, remoteci_id, team_id)
                            select topic_id, product_id, remoteci_id, team_id from jobs where id = any($3::uuid[]))
           update jobs set state = 'active' where id = any($4::uuid[])""",
        world.ids["Blue"], red[:2], blue[:1] + red[2:], blue[2:],
    )  # fmt: skip

    assert await _totals(world) == {("Blue", "active"): 6, ("Red", "active"): 1}
    await _assert_exact(world)


async def test_what_a_transaction_takes_back_is_not_counted(world: World) -> None:
    job, other = await world.job(), await world.job()

    async with world.db.transaction():
        await world.db.execute("update jobs set state = 'inactive' where id = $1::uuid", job)
        savepoint = world.db.transaction()
        await savepoint.start()
        await world.db.execute("update jobs set state = 'inactive'")
        with pytest.raises(asyncpg.CheckViolationError):
            await world.db.execute("update jobs set state = left(id::text, 1)")
        await savepoint.rollback()
        await world.db.execute("update jobs set state = 'archived' where id = $1::uuid", other)

    assert await _totals(world) == {("Blue", "inactive"): 1}
    await _assert_exact(world)


async def test_a_statement_writes_each_total_once_however_many_jobs_it_changes(world: World) -> None:
    for lab in ("blue_lab", "red_lab") * 20:
        await world.job(lab=lab)

    async with world.db.transaction():
        before = await world.db.fetchval(_WRITTEN)
        await world.db.execute("update jobs set state = 'inactive'")
        written = await world.db.fetchval(_WRITTEN) - before

    assert written == 4
    await _assert_exact(world)


_WRITTEN = "select n_tup_ins + n_tup_upd from pg_stat_xact_user_tables where relname = 'jobs_totals'"


async def _totals(world: World) -> dict[tuple[str, str], int]:
    rows = await world.db.fetch(
        """select teams.name, jobs_totals.state, sum(total)::integer as total
           from jobs_totals join teams on teams.id = team_id group by 1, 2 having sum(total) <> 0"""
    )
    return {(row["name"], row["state"]): row["total"] for row in rows}


async def _assert_exact(world: World) -> None:
    rows = await world.db.fetch(
        """select teams.name, jobs.state, count(*) as total from jobs join teams on teams.id = team_id
           where jobs.state <> 'archived' group by 1, 2"""
    )
    assert await _totals(world) == {(row["name"], row["state"]): row["total"] for row in rows}


@pytest.mark.parametrize(
    "page", ["limit=2&offset=0", "limit=2&offset=2", "limit=3&offset=0", "limit=20&offset=0", "limit=2&offset=9"]
)
async def test_a_filtered_count_is_the_same_on_every_page(client_of: ClientOf, world: World, page: str) -> None:
    for name in ("nightly", "nightly", "nightly", "weekly"):
        await world.job(name=name)

    assert await _count(client_of, "alice", f"where=name:nightly&{page}") == 3


async def test_a_filter_that_nothing_meets_counts_nothing(client_of: ClientOf, world: World) -> None:
    await world.job()

    assert await _count(client_of, "alice", "where=name:nothing") == 0
