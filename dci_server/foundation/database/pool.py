# SPDX-License-Identifier: Apache-2.0
"""Connections that are kept open, lent for one statement or one transaction.

The driver's own pool resets a connection in a task of its own each time it comes back, which cost more than the statement
itself; here nothing leaves state in a session, so a connection that did its work is simply put back.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

_Opened: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_Handed: TypeAlias = "asyncpg.Connection[asyncpg.Record] | None"

_SECONDS_TO_SAY_GOODBYE = 5


class Pool:
    """The last connection put back is the first one taken: it is the one whose caches are warm."""

    def __init__(self, connect: Callable[[], Awaitable[_Opened]], size: int) -> None:
        self._connect = connect
        self._size = size
        self._all: set[_Opened] = set()
        self._connecting = 0
        self._idle: list[_Opened] = []
        self._waiting: deque[asyncio.Future[_Handed]] = deque()
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connects once, so that a database that does not answer is heard of at once."""
        self._put_back(await self._take())

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        connection = await self._take()
        try:
            rows = await connection.fetch(query, *args)
        except BaseException as error:
            self._put_back_after(connection, error)
            raise
        self._put_back(connection)
        return rows

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        connection = await self._take()
        try:
            row = await connection.fetchrow(query, *args)
        except BaseException as error:
            self._put_back_after(connection, error)
            raise
        self._put_back(connection)
        return row

    async def fetchval(self, query: str, *args: object) -> Any:
        row = await self.fetchrow(query, *args)
        return None if row is None else row[0]

    async def execute(self, query: str, *args: object) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *args)

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[_Opened]:
        """One connection for as long as the block runs."""
        connection = await self._take()
        try:
            yield connection
        except BaseException as error:
            self._put_back_after(connection, error)
            raise
        self._put_back(connection)

    async def close(self) -> None:
        """What is still running is cancelled."""
        leaving = [connection.close(timeout=_SECONDS_TO_SAY_GOODBYE) for connection in self._all]
        await asyncio.gather(*leaving, *self._closing, return_exceptions=True)
        self._all.clear()
        self._idle.clear()

    async def _take(self) -> _Opened:
        while True:
            if self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._all.discard(connection)
            elif len(self._all) + self._connecting < self._size:
                return await self._open_another()
            elif (connection := await self._wait()) is not None:
                return connection

    async def _open_another(self) -> _Opened:
        self._connecting += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._connecting -= 1
            self._hand_on(None)
            raise
        self._connecting -= 1
        self._all.add(connection)
        return connection

    async def _wait(self) -> _Handed:
        """The connection of somebody who needs it no more, or None when there is room for another."""
        waiting: asyncio.Future[_Handed] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._pass_on(waiting.result())
            raise

    def _pass_on(self, connection: _Handed) -> None:
        if connection is not None:
            self._put_back(connection)
        else:
            self._hand_on(None)

    def _put_back(self, connection: _Opened) -> None:
        if connection.is_closed():
            self._all.discard(connection)
            self._hand_on(None)
        elif not self._hand_on(connection):
            self._idle.append(connection)

    def _put_back_after(self, connection: _Opened, error: BaseException) -> None:
        """A connection whose statement was cut short is in a state that nobody knows: it goes."""
        if isinstance(error, Exception) and not isinstance(error, TimeoutError) and not connection.is_in_transaction():
            self._put_back(connection)
            return
        self._all.discard(connection)
        self._hand_on(None)
        goodbye = asyncio.ensure_future(self._say_goodbye(connection))
        self._closing.add(goodbye)
        goodbye.add_done_callback(self._closing.discard)

    async def _say_goodbye(self, connection: _Opened) -> None:
        """In a task: it cancels at the server what is still running there, and that takes a moment."""
        try:
            await connection.close(timeout=_SECONDS_TO_SAY_GOODBYE)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            connection.terminate()

    def _hand_on(self, connection: _Handed) -> bool:
        """To the one who has waited longest, if anybody does."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return True
        return False
