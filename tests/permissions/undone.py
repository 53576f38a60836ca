# SPDX-License-Identifier: Apache-2.0
"""A database connection whose writes are taken back: every cell of the matrix finds the scene as it was."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

# Beside the requests: events are numbered (triggers of other tables write them), audits written down.
_TABLES = """
    select relname from pg_stat_user_tables
    where relname not in ('alembic_version', 'login_failures', 'audits') and relname !~ '^events'"""
# When somebody was last seen is written on the side, by no request in particular.
_CONTENT = """
    select '{table}' as name, md5(coalesce(string_agg(line, ',' order by line), '')) as content
    from (select (to_jsonb(t) - array['last_auth_at', 'last_used_at'])::text as line from {table} as t) as lines
"""


class UndoneDatabase:
    """Given to the application in the place of its pool; what is written within `undoing` is gone afterwards."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self._contents = ""
        self._before: Mapping[str, str] = {}

    async def remember(self) -> None:
        """How every table is now, before anything is called."""
        tables = [row["relname"] for row in await self._connection.fetch(_TABLES)]
        self._contents = " union all ".join(_CONTENT.format(table=table) for table in tables)
        self._before = await self._read_contents()

    @asynccontextmanager
    async def undoing(self) -> AsyncGenerator[None]:
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            yield
        finally:
            await transaction.rollback()

    async def changed(self) -> set[str]:
        """The tables that are not as they were."""
        if await self._connection.fetchval("select pg_current_xact_id_if_assigned() is null"):
            return set()  # a transaction that wrote has a number
        now = await self._read_contents()
        return {table for table, content in now.items() if content != self._before[table]}

    async def rows(self) -> dict[str, list[str]]:
        """Every row of every table, as text."""
        return {
            table: [
                row["line"] for row in await self._connection.fetch(f"select to_jsonb(t)::text as line from {table} t")
            ]
            for table in self._before
        }

    async def _read_contents(self) -> dict[str, str]:
        return {row["name"]: row["content"] for row in await self._connection.fetch(self._contents)}

    # What the server asks of a pool. Each statement is a transaction of its own, in that a failed one leaves nothing and
    # the connection usable.

    async def fetch(self, *args: Any) -> Any:
        async with self._connection.transaction():
            return await self._connection.fetch(*args)

    async def fetchrow(self, *args: Any) -> Any:
        async with self._connection.transaction():
            return await self._connection.fetchrow(*args)

    async def fetchval(self, *args: Any) -> Any:
        async with self._connection.transaction():
            return await self._connection.fetchval(*args)

    async def copy_records_to_table(self, *args: Any, **options: Any) -> Any:
        async with self._connection.transaction():
            return await self._connection.copy_records_to_table(*args, **options)

    async def execute(self, *args: Any) -> Any:
        async with self._connection.transaction():
            return await self._connection.execute(*args)

    def transaction(self) -> Any:
        return self._connection.transaction()
