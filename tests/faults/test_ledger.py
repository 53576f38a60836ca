# SPDX-License-Identifier: Apache-2.0
"""Servers are killed while they tell a webhook of thousands of events: none is lost, none that was noted comes twice."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import World
from tests.receiver import receiving
from tests.server_process import Running, free_port, start, stop

_WRITE = """
    insert into events_outbox (type, subject_kind, subject_id, job_id, data)
    select 'job_updated', 'job', job_id, job_id, jsonb_build_object('number', number)
    from generate_series(1, $1::integer) as number,
         lateral (select ('00000000-0000-4000-8000-' || lpad((number % 100)::text, 12, '0'))::uuid as job_id) as job
"""
_DELIVERED = "select id::text from webhooks_deliveries where state = 'delivered'"


def _start(world_url: str, key: str, directory: Path) -> Running:
    directory.mkdir(exist_ok=True)
    return start(
        directory,
        free_port(),
        DATABASE_URL=world_url,
        DCI_SECRETS_KEY=key,
        DCI_WEBHOOK_ALLOWED_TARGETS="127.0.0.0/8",
        DCI_WEBHOOK_TIMEOUT="1",
    )


@pytest.mark.parametrize(
    ("count", "kills"), [(400, 1), pytest.param(10_000, 12, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])]
)
async def test_no_event_is_lost_and_none_that_was_noted_comes_twice(
    world: World, database_url: str, key: str, tmp_path: Path, count: int, kills: int
) -> None:
    webhook_id = uuid4()
    chance = random.Random(count)
    async with receiving() as receiver:
        await world.db.execute("delete from events_outbox")
        await world.add(
            "webhooks",
            id=webhook_id,
            name="ledger",
            url=receiver.url,
            event_types=["job_updated"],
            sealed_secret=world.secrets.seal("secret", webhook_id),
        )
        await world.db.execute(_WRITE, count)
        noted: dict[str, int] = {}
        servers = [await asyncio.to_thread(_start, database_url, key, tmp_path / f"{n}") for n in range(2)]
        try:
            for kill in range(1, kills + 1):
                await receiver.wait_for(kill * count // (kills + 2), seconds=120)
                victim = chance.randrange(2)
                servers[victim].process.kill()
                await asyncio.to_thread(servers[victim].process.wait)
                # What is noted by now may not come again; the receiver has it already.
                now = {row["id"] for row in await world.db.fetch(_DELIVERED)}
                seen = Counter(request.headers["dci-webhook-id"] for request in receiver.received)
                noted.update({each: seen[each] for each in now if each not in noted})
                servers[victim] = await asyncio.to_thread(_start, database_url, key, tmp_path / f"{victim}")
            async with asyncio.timeout(600):
                while (
                    await world.db.fetchval("select count(*) from webhooks_deliveries where state = 'delivered'")
                    < count
                ):
                    await asyncio.sleep(0.2)
        finally:
            for server in servers:
                await asyncio.to_thread(stop, server)

    numbers = [request.json()["event"]["data"]["number"] for request in receiver.received]
    seen = Counter(request.headers["dci-webhook-id"] for request in receiver.received)
    assert set(numbers) == set(range(1, count + 1))
    assert {each: seen[each] for each in noted} == noted
    assert len(seen) == count
    for job in range(100):
        first_time = list(dict.fromkeys(number for number in numbers if number % 100 == job))
        assert first_time == sorted(first_time)
