# SPDX-License-Identifier: Apache-2.0
"""A laboratory that makes no jobs for much longer than it is used to is told of once, and when it is back."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import World, started
from tests.features.silence.conftest import DAY, Hub
from tests.waiting import until

_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)


async def _told(hub: Hub, who: str = "alice") -> list[tuple[str, dict[str, Any]]]:
    answer = await hub.client_of(who).get("/events?type=remoteci_silent,remoteci_back")
    assert {event["subject"]["id"] for event in answer.json()["events"]} <= {hub.world.ids["blue_lab"]}
    return [(event["type"], event["data"]) for event in answer.json()["events"]]


async def _makes_jobs(hub: Hub, *pauses: timedelta) -> None:
    """One, and one more after each of the pauses, the last of them now. Somebody looks each time."""
    await hub.world.job()
    await hub.tell_silent()
    for pause in pauses:
        await hub.wait(pause)
        await hub.world.job()
        await hub.tell_silent()


async def test_silence_is_measured_by_what_the_laboratory_is_used_to(hub: Hub) -> None:
    await _makes_jobs(hub, *[2 * DAY] * 6)
    last_job_at = await hub.world.db.fetchval("select max(created_at) from jobs")
    await hub.wait(4 * DAY - _MINUTE)
    await hub.tell_silent()
    assert await _told(hub) == []

    await hub.wait(_MINUTE)
    await hub.tell_silent()

    ((kind, data),) = await _told(hub)
    assert (kind, data["name"]) == ("remoteci_silent", "blue_lab")
    assert data["usual_pause"] == pytest.approx(2 * DAY.total_seconds(), abs=60)  # pyright: ignore[reportUnknownMemberType]
    assert datetime.fromisoformat(data["last_job_at"]) == last_job_at - 4 * DAY
    assert await _told(hub, "bob") == []


async def test_a_silence_is_told_once_and_its_end_once(hub: Hub) -> None:
    await _makes_jobs(hub, *[_HOUR] * 6)
    for _ in range(4):
        await hub.wait(2 * DAY)
        await hub.tell_silent(processes=4)
    assert [kind for kind, _ in await _told(hub)] == ["remoteci_silent"]

    await hub.world.job()
    for _ in range(3):
        await hub.wait(_HOUR)
        await hub.tell_silent(processes=4)
    assert [kind for kind, _ in await _told(hub)] == ["remoteci_silent", "remoteci_back"]

    await hub.wait(40 * DAY)
    await hub.tell_silent()
    assert [kind for kind, _ in await _told(hub)] == ["remoteci_silent", "remoteci_back", "remoteci_silent"]


async def test_nights_and_weekends_belong_to_a_rhythm_and_one_outage_does_not(hub: Hub) -> None:
    await _makes_jobs(hub, *[DAY, DAY, DAY, DAY, 3 * DAY] * 2, 5 * DAY, DAY)

    await hub.wait(6 * DAY - _MINUTE)
    await hub.tell_silent()
    assert await _told(hub) == []
    await hub.wait(_MINUTE)
    await hub.tell_silent()

    assert [kind for kind, _ in await _told(hub)] == ["remoteci_silent"]


async def test_no_silence_is_shorter_than_the_least(hub: Hub) -> None:
    await _makes_jobs(hub, *[_MINUTE] * 10)

    await hub.wait(DAY - _MINUTE)
    await hub.tell_silent()
    assert await _told(hub) == []
    await hub.wait(_MINUTE)
    await hub.tell_silent()

    assert len(await _told(hub)) == 1


async def test_few_jobs_are_no_rhythm(hub: Hub) -> None:
    await _makes_jobs(hub, *[_HOUR] * 4)
    await hub.wait(90 * DAY)

    await hub.tell_silent()

    assert await _told(hub) == []


async def test_a_silence_that_began_before_somebody_listened_is_no_news(hub: Hub) -> None:
    for _ in range(8):
        await hub.world.job()
        await hub.wait(_HOUR)
    await hub.wait(30 * DAY)

    await hub.tell_silent()
    await hub.world.job()
    await hub.wait(2 * _HOUR)
    await hub.tell_silent()

    assert await _told(hub) == []


@pytest.mark.parametrize("table", ["remotecis", "teams"])
async def test_what_is_not_active_is_not_listened_for(hub: Hub, table: str) -> None:
    await _makes_jobs(hub, *[_HOUR] * 6)
    await hub.world.db.execute(f"update {table} set state = 'inactive' where name in ('blue_lab', 'Blue')")
    await hub.wait(5 * DAY)

    await hub.tell_silent()

    assert await _told(hub, "admin") == []


async def test_a_server_listens_beside_its_requests(
    hub: Hub, world: World, database_url: str, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await _makes_jobs(hub, *[_HOUR] * 6)
    await hub.wait(5 * DAY)

    async with started(database_url, key, tmp_path_factory.mktemp("other"), DCI_REMOTECI_SILENT_AFTER_HOURS="24"):
        await until(lambda: _told(hub))
