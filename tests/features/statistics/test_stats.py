# SPDX-License-Identifier: Apache-2.0
"""By topic, the latest run of each laboratory."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import ClientOf, World

_START = datetime(2026, 1, 1)


@pytest.fixture
async def runs(world: World) -> dict[str, str]:
    """Blue: a success, hidden by nothing since the later run errored. Red: two, of which the failure is the later."""
    await world.db.execute("update teams set external = true where name in ('Blue', 'Red')")
    made: dict[str, str] = {}
    for hours, (name, lab, status) in enumerate(
        [("blue", "blue_lab", "success"), ("blue errored", "blue_lab", "error"), ("red old", "red_lab", "success"),
         ("red", "red_lab", "failure")]
    ):  # fmt: skip
        made[name] = await world.job(lab, status=status, created_at=_START + timedelta(hours=hours))
    return made


async def _stats(client_of: ClientOf, who: str) -> list[dict[str, Any]]:
    response = await client_of(who).get("/stats?anything=goes")
    assert response.status_code == 200
    return response.json()["stats"]


async def test_the_latest_run_of_each_laboratory_counts(
    client_of: ClientOf, world: World, runs: dict[str, str]
) -> None:
    assert await _stats(client_of, "reader") == [
        {
            "topic": {"id": world.ids["RHEL-9.6"], "name": "RHEL-9.6"},
            "product": {"id": world.ids["RHEL"], "name": "RHEL"},
            "nbOfJobs": 2,
            "nbOfSuccessfulJobs": 1,
            "percentageOfSuccess": 50,
            "jobs": [
                {"id": runs["red"], "status": "failure", "created_at": "2026-01-01T03:00:00", "remoteci_name": "red_lab",
                 "team_name": "Red"},
                {"id": runs["blue"], "status": "success", "created_at": "2026-01-01T00:00:00",
                 "remoteci_name": "blue_lab", "team_name": "Blue"},
            ],
        }
    ]  # fmt: skip


async def test_each_sees_the_laboratories_of_its_teams(client_of: ClientOf, runs: dict[str, str]) -> None:
    def seen(stats: list[dict[str, Any]]) -> list[str]:
        return [job["id"] for topic in stats for job in topic["jobs"]]

    assert seen(await _stats(client_of, "alice")) == [runs["blue"]]
    assert seen(await _stats(client_of, "red_lab")) == [runs["red"]]
    assert await _stats(client_of, "nobody") == []


@pytest.mark.parametrize(
    "change",
    [
        "update remotecis set state = 'inactive' where name = 'blue_lab'",
        "update teams set external = false where name = 'Blue'",
        "update topics set state = 'inactive'",
        "update jobs set state = 'archived'",
    ],
)
async def test_what_is_not_active_or_not_external_is_left_out(
    client_of: ClientOf, world: World, runs: dict[str, str], change: str
) -> None:
    await world.db.execute(change)

    assert await _stats(client_of, "alice") == []


async def test_halves_go_to_the_even_neighbour(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update teams set external = true where name = 'Blue'")
    for n in range(8):
        lab = await world.add("remotecis", name=f"lab {n}", team_id=world.ids["Blue"])
        await world.add(
            "jobs", remoteci_id=UUID(lab), team_id=world.ids["Blue"], topic_id=world.ids["RHEL-9.6"],
            product_id=world.ids["RHEL"], status="failure" if n else "success",
        )  # fmt: skip

    assert (await _stats(client_of, "alice"))[0]["percentageOfSuccess"] == 12
