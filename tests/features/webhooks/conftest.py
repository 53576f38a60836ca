# SPDX-License-Identifier: Apache-2.0
"""A server that sends, to loopback too."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import World, started

SETTINGS = {"DCI_DELIVERIES": "on", "DCI_WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8", "DCI_WEBHOOK_TIMEOUT": "60"}


@pytest.fixture
async def app(database_url: str, key: str, tmp_path: Path) -> AsyncIterator[Application]:
    async with started(database_url, key, tmp_path, **SETTINGS) as application:
        yield application


async def made(client: httpx.AsyncClient, url: str, **values: object) -> dict[str, Any]:
    """A webhook, with its secret."""
    response = await client.post("/webhooks", json={"name": "hook", "url": url, **values})
    assert response.status_code == 201, response.text
    return response.json()["webhook"]


@dataclass
class Log:
    """The deliveries of a webhook, put in and looked at."""

    world: World
    webhook_id: str

    async def add(self, event_id: int, job_id: UUID | None = None, **values: Any) -> str:
        """As if the event had been fanned out; sent at the next look."""
        return await self.world.add(
            "webhooks_deliveries",
            webhook_id=self.webhook_id,
            event_id=event_id,
            type="job_created",
            subject_id=job_id or uuid4(),
            job_id=job_id,
            body=json.dumps({"event_id": event_id}),
            **values,
        )

    async def tell(self) -> None:
        """Those who send look now."""
        await self.world.db.execute("notify deliveries")

    async def make_due(self) -> None:
        """Time flies."""
        await self.world.db.execute("update webhooks set retry_at = null")
        await self.world.db.execute(
            "update webhooks_deliveries set next_attempt_at = now() at time zone 'UTC' where state = 'waiting'"
        )
        await self.tell()
