# SPDX-License-Identifier: Apache-2.0
"""`_meta.count` is exact, whether it comes from the running totals, from a page that is not full, or from a count."""

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
