# SPDX-License-Identifier: Apache-2.0
"""Whoever asks for a small report does not wait for somebody's large one."""

import asyncio
import sys
from typing import Any

import httpx
import pytest

from dci_server.features.test_results import actions
from dci_server.foundation.http import Application
from dci_server.foundation.turns import Turns
from tests.conftest import ClientOf, World, credentials_of
from tests.features.test_results.test_rows_of_cases import REPORT, upload


@pytest.mark.parametrize("mime", ["application/junit", "text/xml"])
async def test_a_small_report_is_read_beside_large_ones(
    app: Application, client_of: ClientOf, world: World, mime: str
) -> None:
    headers = {"DCI-NAME": "r", "DCI-JOB-ID": await world.job(), "DCI-MIME": mime}
    uploaded = await client_of("blue_lab").post("/files", content=REPORT, headers=headers)
    assert app.services is not None
    turns = app.services.report_turns

    async with turns.of(actions.MAX_CASES), turns.of(20_000), turns.of(20_000), turns.of(2_000):
        response = await client_of("alice").get(f"/files/{uploaded.json()['file']['id']}/junit")

    assert response.status_code == 200
    assert response.json()["testsuites"][0]["tests"] == 3


@pytest.mark.parametrize(("size", "turns"), [(0, 2), (10, 2), (11, 1), (sys.maxsize, 1), (sys.maxsize + 1, 1)])
async def test_each_size_has_so_many_turns(size: int, turns: int) -> None:
    lanes = Turns([(10, 2), (sys.maxsize, 1)])
    for _ in range(turns):
        assert not lanes.of(size).locked()
        await lanes.of(size).acquire()

    assert lanes.of(size).locked()


async def test_others_are_answered_while_a_report_is_told(
    app: Application, client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client takes whatever comes at once; a round of the event loop is when somebody else has a turn."""
    monkeypatch.setattr(actions, "_PIECE", 1024)
    names = b"".join(b'<testcase name="%d"/>' % number for number in range(1_000))
    _, file_id = await upload(client_of, await world.job(), b'<testsuite name="s">%b</testsuite>' % names)
    rounds = 0
    told_at: list[int] = []

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "http.response.body":
                told_at.append(rounds)
            await send(message)

        await app(scope, receive, note)

    counting = asyncio.create_task(count())
    transport = httpx.ASGITransport(app=noting)
    async with httpx.AsyncClient(transport=transport, auth=credentials_of(world, "alice")) as client:
        response = await client.get(f"http://dci.test/api/v1/files/{file_id}/junit")
    counting.cancel()

    assert response.status_code == 200
    assert len(told_at) > 100
    assert told_at == sorted(set(told_at))
