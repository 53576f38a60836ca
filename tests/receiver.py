# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server on loopback that keeps what it is sent and answers what it is told to."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def answering(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Receiver:
    """`answer` makes the answer to each request; None holds the connection open and says nothing."""

    port: int = 0
    scheme: str = "http"
    received: list[Received] = field(default_factory=list[Received])
    answer: Callable[[Received], bytes | None] = lambda _request: answering(204)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    opened: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    async def wait_for(self, count: int, *, seconds: float = PATIENCE) -> list[Received]:
        """Until so many requests have arrived."""
        async with asyncio.timeout(seconds), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await _read(reader)
                self.received.append(request)
                answer = self.answer(request)
                async with self.arrived:
                    self.arrived.notify_all()
                if answer is None:
                    await reader.read()
                    break
                writer.write(answer)
                await writer.drain()
        self.opened.discard(writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(head[0].split(" ")[1], headers, body)


@asynccontextmanager
async def receiving(
    answer: Callable[[Received], bytes | None] | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Receiver]:
    receiver = Receiver(scheme="http" if tls is None else "https")
    if answer is not None:
        receiver.answer = answer
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        # Who still waits for an answer is not left waiting.
        for writer in receiver.opened:
            writer.transport.abort()
