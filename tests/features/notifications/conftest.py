# SPDX-License-Identifier: Apache-2.0
"""A hub that sends mail to a real server on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import World, started
from tests.mailbox import Mailbox, mailbox

SENDING = {
    "DCI_DELIVERIES": "on",
    "DCI_WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8",
    "DCI_WEBHOOK_TIMEOUT": "60",
    "DCI_EMAIL_SERVER": "127.0.0.1",
    "DCI_EMAIL_TLS": "none",
    "DCI_EMAIL_FROM": "hub@example.org",
    "DCI_UI_URL": "https://ui.example.org/",
}


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as opened:
        yield opened


@pytest.fixture
async def app(world: World, database_url: str, key: str, tmp_path: Path, box: Mailbox) -> AsyncIterator[Application]:
    """What is there before the test begins is no news."""
    await world.db.execute("delete from events_outbox")
    settings = {**SENDING, "DCI_EMAIL_SERVER_PORT": str(box.port)}
    async with started(database_url, key, tmp_path, **settings) as application:
        yield application


async def run(lab: httpx.AsyncClient, world: World, *statuses: str) -> str:
    """A job of the laboratory that goes through these states."""
    new = {"topic_id": world.ids["RHEL-9.6"], "components": [world.ids["compose"]]}
    job: dict[str, Any] = (await lab.post("/jobs", json=new)).json()["job"]
    for status in statuses:
        response = await lab.post("/jobstates", json={"job_id": job["id"], "status": status})
        assert response.status_code == 201, response.text
    return job["id"]
