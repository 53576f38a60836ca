# SPDX-License-Identifier: Apache-2.0
"""Work that a server process does beside its requests: again and again, for as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from dci_server.foundation.database.connection import DATABASE_ERRORS
from dci_server.foundation.errors import ApiError

_SECONDS_AFTER_A_FAILURE = 2.0

log = structlog.get_logger("dci_server.background")


class Repeating:
    """Calls `once` again at once when it says that it found work, otherwise when woken, or after `idle` seconds.

    In between it rests for `rest` seconds, however often it is woken: what comes meanwhile is done together. What it can't
    do because the database or the network is away it tries again.
    """

    def __init__(self, name: str, once: Callable[[], Awaitable[bool]], *, idle: float, rest: float = 0.0) -> None:
        self._name = name
        self._once = once
        self._idle = idle
        self._rest = rest
        self._woken = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        # Said too, because a library that waits may lose a cancellation.
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        self._woken.set()

    async def _run(self) -> None:
        while not self._is_stopping:
            self._woken.clear()
            if await self._found_work():
                continue
            if self._rest:
                await asyncio.sleep(self._rest)
            with suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it loses a cancellation that comes together with what it waits for.
                async with asyncio.timeout(self._idle):
                    await self._woken.wait()

    async def _found_work(self) -> bool:
        try:
            return await self._once()
        except (ApiError, *DATABASE_ERRORS) as error:
            log.warning("work waits", work=self._name, reason=type(error).__name__)
        except Exception as error:  # what nobody foresaw must not end the work of this process for good
            log.exception("work failed", work=self._name, exc_info=error)
        await asyncio.sleep(_SECONDS_AFTER_A_FAILURE)
        return False
