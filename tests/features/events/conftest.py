# SPDX-License-Identifier: Apache-2.0
"""A server on a socket of its own: the transport of the other tests gives an answer only when it is over."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from dci_server.foundation.http import Application
from dci_server.foundation.wire import WireProtocol
from tests.conftest import World, credentials_of
from tests.waiting import PATIENCE, until_it_holds


@dataclass
class Stream:
    """An open one; what arrives is taken one by one."""

    response: httpx.Response
    _lines: AsyncIterator[str] = field(init=False)
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    end: str | None = None

    def __post_init__(self) -> None:
        self._lines = self.response.aiter_lines()

    async def line(self) -> str | None:
        """None when the stream is over."""
        async with asyncio.timeout(PATIENCE):
            return await anext(self._lines, None)

    async def message(self) -> dict[str, str] | None:
        """The next one, comments left out: a stream with nothing but signs of life is one that does not tell."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._message()
        except TimeoutError:
            told = [event["type"] for event in self.seen]
            pytest.fail(f"the stream told nothing more in {PATIENCE} s; so far it told {told}")

    async def _message(self) -> dict[str, str] | None:
        message: dict[str, str] = {}
        while (line := await self.line()) is not None:
            name, _, value = line.partition(": ")
            if name:
                message[name] = value
            elif "data" in message:
                return message
        return None

    async def event(self) -> dict[str, Any]:
        message = await self.message()
        assert message is not None
        event = msgspec.json.decode(message["data"])
        assert message["id"] == str(event["id"])
        assert message["event"] == event["type"]
        self.seen.append(event)
        return event

    async def events(self, number: int) -> list[dict[str, Any]]:
        return [await self.event() for _ in range(number)]

    async def rest(self) -> list[dict[str, Any]]:
        """Up to the end, whose reason is kept."""
        events: list[dict[str, Any]] = []
        while (message := await self.message()) is not None:
            if message["event"] == "end":
                self.end = msgspec.json.decode(message["data"])["reason"]
            else:
                events.append(msgspec.json.decode(message["data"]))
        return events


Follow = Callable[..., AbstractAsyncContextManager[Stream]]


@dataclass
class Live:
    url: str
    port: int
    server: uvicorn.Server


@asynccontextmanager
async def serving(app: Application) -> AsyncGenerator[Live]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config = uvicorn.Config(app, http=WireProtocol, lifespan="off", log_level="error", timeout_graceful_shutdown=20)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await until_it_holds(lambda: server.started)
            yield Live(f"http://127.0.0.1:{port}/api/v1", port, server)
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def live(app: Application) -> AsyncIterator[Live]:
    async with serving(app) as running:
        yield running


@pytest.fixture
async def follow(live: Live, world: World) -> Follow:
    """Opens a stream as somebody; back when the server has begun to tell."""

    @asynccontextmanager
    async def open_stream(who: str, path: str = "/events", **headers: str) -> AsyncGenerator[Stream]:
        asked = {"Accept": "text/event-stream", "Content-Type": "application/json", **headers}
        async with (
            httpx.AsyncClient(
                base_url=live.url, auth=credentials_of(world, who), verify=False, timeout=PATIENCE
            ) as client,
            client.stream("GET", path, headers=asked) as response,
        ):
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/event-stream"
            stream = Stream(response)
            assert await stream.line() == "retry: 2000"
            yield stream

    return open_stream
