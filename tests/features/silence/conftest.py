# SPDX-License-Identifier: Apache-2.0
"""Time passes when a test says so."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dci_server.features.silence.jobs import close_silent_jobs
from dci_server.features.silence.remotecis import tell_silent_remotecis
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World

DAY = timedelta(days=1)
_MOMENTS = {
    "jobs": ("created_at", "updated_at"),
    "uploads": ("expires_at",),
    "jobs_watched": ("heard_at",),
    "jobs_watching": ("created_at",),
    "remotecis_watched": ("created_at", "look_at", "silent_since"),
}


async def pass_time(world: World, span: timedelta) -> None:
    """Whatever is remembered was that much longer ago."""
    for table, columns in _MOMENTS.items():
        earlier = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
        await world.db.execute(f"update {table} set {earlier}", span)


class Hub:
    """With a server process that notices silence when it is asked to."""

    def __init__(self, client_of: ClientOf, world: World, db: Connection) -> None:
        self.client_of = client_of
        self.world = world
        self.db = db

    async def wait(self, span: timedelta) -> None:
        await pass_time(self.world, span)

    async def close_silent(self, processes: int = 1) -> None:
        """Jobs that were silent for a day; several server processes look at once."""

        async def close_all() -> None:
            while await close_silent_jobs(self.db, DAY):
                pass

        await asyncio.gather(*(close_all() for _ in range(processes)))

    async def tell_silent(self, processes: int = 1) -> None:
        """Laboratories of which nothing was heard, for a day at least."""

        async def tell_all() -> None:
            while await tell_silent_remotecis(self.db, DAY):
                pass

        await asyncio.gather(*(tell_all() for _ in range(processes)))

    async def state(self, job_id: str, status: str) -> None:
        response = await self.client_of("blue_lab").post("/jobstates", json={"job_id": job_id, "status": status})
        assert response.status_code == 201

    async def running(self) -> str:
        """A job that has begun to run."""
        new = {"topic_id": self.world.ids["RHEL-9.6"], "components": [self.world.ids["compose"]]}
        job: dict[str, Any] = (await self.client_of("blue_lab").post("/jobs", json=new)).json()["job"]
        await self.state(job["id"], "running")
        return job["id"]

    async def job(self, job_id: str) -> dict[str, Any]:
        return (await self.client_of("alice").get(f"/jobs/{job_id}")).json()["job"]

    async def finished(self, job_id: str) -> list[str]:
        """As what it ended, each time that it did."""
        answer = await self.client_of("admin").get("/jobs_events/0?sort=id")
        return [event["status"] for event in answer.json()["jobs_events"] if event["job_id"] == job_id]


@pytest.fixture
def hub(client_of: ClientOf, world: World, app: Application) -> Hub:
    assert app.services is not None
    return Hub(client_of, world, app.services.db)
