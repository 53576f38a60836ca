# SPDX-License-Identifier: Apache-2.0
"""The application behind a port, served from a thread."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from dci_server.foundation.http import Application
from dci_server.foundation.wire import WireProtocol

_SECONDS_TO_START = 60


@contextmanager
def served(application: Application) -> Generator[str]:
    """Its address. Warnings go to standard error, so that pytest shows what the server said of a failure."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application,  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
            loop="uvloop",
            http=WireProtocol,
            lifespan="on",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            _wait_for(server, thread)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    for _ in range(_SECONDS_TO_START * 20):
        if server.started:
            return
        assert thread.is_alive(), "the server did not start"
        thread.join(0.05)
    raise AssertionError("the server did not start in time")
