# SPDX-License-Identifier: Apache-2.0
"""The connection below an answer that has no end of its own: who follows may leave, or be made to."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Scope

HANG_UP = "dci.hang_up"
"""In `scope["extensions"]`: cuts the connection, whatever still waits to be sent."""
AT_SHUTDOWN = "dci.at_shutdown"
"""In `scope`: called when the server stops and waits for its last answers."""


class Line:
    __slots__ = ("_receive", "_scope", "_watching")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None

    def watch(self, when_over: Callable[[], None]) -> None:
        """Calls once the client has gone or the server stops."""
        self._scope[AT_SHUTDOWN] = when_over
        self._watching = asyncio.create_task(self._wait_until_gone())
        self._watching.add_done_callback(lambda _: when_over())

    def release(self) -> None:
        """The answer is over."""
        self._scope.pop(AT_SHUTDOWN, None)
        if self._watching is not None:
            self._watching.cancel()

    def hang_up(self) -> None:
        """Whoever does not read can't be told anything any more, a farewell included."""
        cut: Callable[[], None] | None = self._scope.get("extensions", {}).get(HANG_UP)
        if cut is not None:
            cut()

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
