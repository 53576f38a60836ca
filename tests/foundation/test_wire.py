# SPDX-License-Identifier: Apache-2.0
"""What the HTTP parser can't read is refused in the contract's form, on a real socket."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest
import uvicorn

from dci_server.foundation.http import ErrorBody
from dci_server.foundation.wire import WireProtocol


async def _nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("no request is to come through")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(_nothing, http=WireProtocol, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /api/v1/files HTTP/1.1\r\nHost: x\r\nDCI-NAME: a\x07b\r\n\r\n",
        b"POST /api/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"what is this\r\n\r\n",
    ],
    ids=["control character", "content length", "garbage"],
)
def test_what_is_no_request_is_refused_in_json(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        answered = b"".join(iter(lambda: connection.recv(65536), b""))

    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    refusal = msgspec.json.decode(body, type=ErrorBody)
    assert (refusal.status_code, "control character" in refusal.message) == (400, True)
