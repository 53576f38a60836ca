# SPDX-License-Identifier: Apache-2.0
"""However many are to be told of however many events, it is done in parts that a statement has time for, each once."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import structlog
from structlog.testing import LogCapture

from dci_server.features.notifications import fan_out
from dci_server.features.notifications.fan_out import FanOut
from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.database.pool import Pool
from dci_server.foundation.events.numbering import number_all
from dci_server.foundation.metrics import Metrics
from tests.conftest import World

_WEBHOOKS = """
    insert into webhooks (name, url, sealed_secret, team_id)
    select 'hook ' || number, 'https://example.org/', '', $2 from generate_series(1, $1::integer) as number
"""
_EVENTS = """
    insert into events_outbox (type, subject_kind, subject_id, team_id)
    select type, 'job', gen_random_uuid(), $2 from unnest($1::text[]) as type
"""
# As if a statement that makes more rows took too long.
_NO_MORE_THAN = """
    create function refuse_many() returns trigger language plpgsql as $$
    begin
        if (select count(*) from made) > {} then
            raise query_canceled;
        end if;
        return null;
    end $$;
    create trigger refuse_many after insert on webhooks_deliveries referencing new table as made
        for each statement execute function refuse_many();
"""
_DELIVERED = "select type from webhooks_deliveries order by webhook_id, event_id"


@pytest.fixture
async def pool(world: World, database_url: str) -> AsyncIterator[Pool]:
    """What is there before the test begins is no news."""
    await world.db.execute("delete from events_outbox")
    pool = await open_pool(database_url, size=1)
    yield pool
    await pool.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(fan_out, "_QUICK_SECONDS", float("inf"))


def _fan_out(pool: Pool, metrics: Metrics | None = None) -> FanOut:
    return FanOut(pool, metrics or Metrics(), links="https://ui.example.org", with_mail=True, with_bus=False)


async def _happen(world: World, pool: Pool, *types: str, team: str = "Blue") -> None:
    await world.db.execute(_EVENTS, types, world.ids[team])
    await number_all(pool)


async def _tell_all(world: World, fan_out: FanOut) -> list[int]:
    """How many deliveries each round made."""
    made: list[int] = []
    before = await world.count("webhooks_deliveries")
    has_more = True
    while has_more:
        has_more = await fan_out.look()
        after = await world.count("webhooks_deliveries")
        made.append(after - before)
        before = after
    return made


async def test_the_events_taken_at_once_are_the_fewer_the_more_hear_of_each(
    world: World, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "_MOST_ROWS", 100)
    await world.db.execute(_WEBHOOKS, 40, None)
    await world.db.execute(_WEBHOOKS, 5, world.ids["Blue"])
    await world.db.execute(_WEBHOOKS, 200, world.ids["Red"])
    await _happen(world, pool, *["job_updated"] * 5)
    await _happen(world, pool, "team_changed", team="Red")

    made = await _tell_all(world, _fan_out(pool))

    # Two events of Blue weigh 92; one of Red has 240 rows and a round of its own.
    assert made == [90, 90, 45, 240]
    assert len(set(await world.db.fetch("select webhook_id, event_id from webhooks_deliveries"))) == sum(made)


async def test_a_topic_that_many_follow_is_told_of_its_components_one_by_one(
    world: World, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "_MOST_ROWS", 25)
    for number in range(20):
        user_id = await world.add("users", name=f"u{number}", fullname="u", email=f"u{number}@example.org")
        await world.add("users_teams", user_id=user_id, team_id=world.ids["Blue"])
        await world.add("users_topics", user_id=user_id, topic_id=world.ids["RHEL-9.6"])
    for number in range(3):
        await world.add(
            "components", name=f"c{number}", display_name=f"c{number}", type="compose", topic_id=world.ids["RHEL-9.6"]
        )
    await number_all(pool)
    fanning = _fan_out(pool)

    told: list[int] = []
    while await fanning.look():
        told.append(await world.count("mails"))

    assert told == [20, 40]
    assert await world.count("mails") == 60


async def test_what_takes_too_long_is_told_in_smaller_parts_which_grow_again(world: World, pool: Pool) -> None:
    await world.db.execute(_WEBHOOKS, 10, None)
    await world.db.execute(_NO_MORE_THAN.format(25))
    await _happen(world, pool, *[f"type {number}" for number in range(60)])
    fanning = _fan_out(pool)

    slowly = await _tell_all(world, fanning)
    await world.db.execute("drop trigger refuse_many on webhooks_deliveries")
    await _happen(world, pool, *["job_updated"] * 400)
    quickly = await _tell_all(world, fanning)

    assert set(slowly) == {0, 10, 20}
    assert max(quickly) > 1_000
    assert (sum(slowly), sum(quickly)) == (600, 4_000)
    told = [row["type"] for row in await world.db.fetch(_DELIVERED)]
    assert told == [*(f"type {number}" for number in range(60)), *["job_updated"] * 400] * 10


async def test_one_event_that_takes_too_long_is_not_passed_over(world: World, pool: Pool) -> None:
    await world.db.execute(_WEBHOOKS, 10, None)
    await world.db.execute(_NO_MORE_THAN.format(5))
    await _happen(world, pool, "job_updated", "job_finished")
    fanning = _fan_out(pool)

    for _ in range(5):
        while True:
            try:
                assert await fanning.look()
            except asyncpg.QueryCanceledError:
                break
    await world.db.execute("drop trigger refuse_many on webhooks_deliveries")
    await _tell_all(world, fanning)

    assert [row["type"] for row in await world.db.fetch(_DELIVERED)] == ["job_updated", "job_finished"] * 10


async def test_an_event_that_breaks_the_telling_is_given_up_and_holds_up_no_other(
    world: World, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = LogCapture()
    monkeypatch.setattr(fan_out, "log", structlog.wrap_logger(None, processors=[logged]))
    metrics = Metrics()
    await world.db.execute(_WEBHOOKS, 2, None)
    await world.db.execute("alter table webhooks_deliveries add constraint ours check (type <> 'a fault of ours')")
    await _happen(world, pool, "job_created", "a fault of ours", "job_finished")
    fanning = _fan_out(pool, metrics)

    failures = 0
    has_more = True
    while has_more:
        try:
            has_more = await fanning.look()
        except asyncpg.CheckViolationError:
            failures += 1

    assert failures == 4
    assert [row["type"] for row in await world.db.fetch(_DELIVERED)] == ["job_created", "job_finished"] * 2
    broken = await world.db.fetchval("select id from events where type = 'a fault of ours'")
    assert [(entry["log_level"], entry["event_id"]) for entry in logged.entries] == [("error", broken)]
    assert b'dci_given_up_total{by="fan-out"} 1.0' in metrics.render()
