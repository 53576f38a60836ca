# SPDX-License-Identifier: Apache-2.0
"""What a server process does to tell others: its tasks, started and stopped together, and what wakes them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import LiteralString, Protocol

import asyncpg
import structlog

from dci_server.features.notifications.outbox import forget_old
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import DATABASE_ERRORS, Connection

_SECONDS_BETWEEN_CLEANINGS = 3600.0
_DAYS_KEPT = 30
_AT_ONCE = 5000
_CLEANED: tuple[LiteralString, ...] = ("webhooks_deliveries", "mails", "bus_messages")

log = structlog.get_logger("dci_server.notifications")


class Work(Protocol):
    """Something that runs beside the requests, and can be told that there is something to do."""

    def start(self) -> None: ...
    def wake(self) -> None: ...
    async def stop(self) -> None: ...


class Notifier:
    """`woken_by` names the channel of the database whose notifications wake each work. The first one stops first."""

    def __init__(self, db: Connection, url: str, woken_by: Mapping[str, Sequence[Work]]) -> None:
        self._db = db
        self._url = url
        self._woken_by = woken_by
        self._cleaning = Repeating("cleaning", self._clean, idle=_SECONDS_BETWEEN_CLEANINGS)
        self._listening: asyncio.Task[None] | None = None

    @property
    def _works(self) -> list[Work]:
        return [self._cleaning, *(work for works in self._woken_by.values() for work in works)]

    def start(self) -> None:
        for work in self._works:
            work.start()
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await asyncio.gather(*(work.stop() for work in self._works))

    async def _clean(self) -> bool:
        """What was delivered or given up is kept for a month, to be looked at."""
        gone = [await forget_old(self._db, table, days=_DAYS_KEPT, most=_AT_ONCE) for table in _CLEANED]
        return _AT_ONCE in gone

    async def _listen(self) -> None:
        """Without it everything is found a few seconds later, when the works look by themselves."""
        while True:
            try:
                await self._listen_until_lost()
            except DATABASE_ERRORS as error:
                log.warning("not listening for what is to be told", kind=type(error).__name__)
            await asyncio.sleep(1)

    async def _listen_until_lost(self) -> None:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._url, server_settings={"application_name": "dci-server notifications"}
        )
        try:
            for channel in self._woken_by:
                await connection.add_listener(channel, self._wake)
            for work in self._works:
                work.wake()
            while not connection.is_closed():
                await connection.fetchval("select 1", timeout=5)
                await asyncio.sleep(5)
        finally:
            with suppress(Exception):
                await connection.close(timeout=1)

    def _wake(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        for work in self._woken_by[channel]:
            work.wake()
