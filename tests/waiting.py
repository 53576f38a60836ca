# SPDX-License-Identifier: Apache-2.0
"""Waiting for what comes a moment later: until it is there, however much else the machine does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dci_server.foundation.http import Application

T = TypeVar("T")
PATIENCE = 60
"""Seconds. What has not happened by then does not happen."""


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await look()):
            await asyncio.sleep(0.01)
        return found


async def until_it_holds(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.01)


def wait_until(is_so: Callable[[], bool]) -> None:
    """For tests that leave the event loop alone."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


async def until_heard(app: Application) -> None:
    """Until the server listens for changes of who is who, as it does a moment after its start."""
    services = app.services
    assert services is not None
    await until_it_holds(lambda: services.authenticator.is_listening)
