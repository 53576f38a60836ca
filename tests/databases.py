# SPDX-License-Identifier: Apache-2.0
"""A database for each test: one and the same, which is put back as it was after every test.

Making a database from a template and dropping it costs more than most tests do. PostgreSQL counts what is written to each
table of the catalogue; those that were written to are compared with how they were, and only what differs is restored. A database that is not as it was in any other
way (its schema, its statistics, more rows than are worth deleting) is thrown away, and the next test gets a new one.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg

_TOO_MANY_ROWS = 1_000
_USES = 500
"""Deleted rows stay in the files until they are vacuumed, which nobody does here."""

_END_OTHERS = """
select pg_terminate_backend(pid, 60000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
_TABLES = """
select format('%I.%I', relnamespace::regnamespace, relname) as name from pg_class
where relkind = 'r' and relnamespace not in (select oid from pg_namespace where nspname ~ '^(pg_|information_schema$)')
order by 1
"""
# A backend adds its counts before it is seen to be gone.
_WRITES = """
select format('%I.%I', relnamespace::regnamespace, relname) as name,
       pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid) + pg_stat_get_tuples_deleted(oid) as writes
from pg_class
where relkind = 'r' and relnamespace not in (select oid from pg_namespace where nspname ~ '^(pg_|information_schema$)')
"""
_CONTENT = """
select '{0}' as name, count(*) as rows, md5(string_agg(line, e'\\n' order by line)) as content
from (select whole_row::text as line from {0} as whole_row) as lines
"""
_COLUMNS = """
select attname from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
"""
_NAMES = """
select nspname, relname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where pg_class.oid = $1::text::regclass
"""
_SEQUENCES = (
    "select format('%I.%I', schemaname, sequencename) as name, start_value, last_value from pg_sequences order by 1"
)
# Each change of the schema writes a row of one of these, with a newer transaction's number, or deletes one.
_CATALOGUE = " union all ".join(
    f"select '{table}', count(*), max(xmin::text::bigint) from {table}"
    for table in (
        "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_db_role_setting", "pg_default_acl", "pg_depend",
        "pg_enum", "pg_event_trigger", "pg_extension", "pg_index", "pg_largeobject_metadata", "pg_namespace", "pg_policy",
        "pg_proc", "pg_publication", "pg_rewrite", "pg_statistic", "pg_statistic_ext", "pg_trigger", "pg_type",
    )
)  # fmt: skip


_Contents: TypeAlias = Mapping[str, tuple[int, str | None]]
"""Of tables, by name: how many rows, and what stands for what they say."""


@dataclass(frozen=True)
class _Copy:
    """The rows of a table that has some."""

    table: str
    schema: str
    columns: Sequence[str]
    rows: bytes


class ReusedDatabases:
    """Copies of a template. Each is lent to one test at a time, and the next one finds it as it was."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[_Database] = []

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[str]:
        """The address of one."""
        database = self._free.pop() if self._free else await _Database.make(self._server_url, self._template)
        try:
            yield database.url
        finally:
            if await database.put_back():
                self._free.append(database)
            else:
                await database.drop(self._server_url)

    async def close(self) -> None:
        while self._free:
            await self._free.pop().drop(self._server_url)


class _Database:
    def __init__(self, name: str, url: str, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.url = url
        self._name = name
        self._connection = connection
        self._uses = 0

    @classmethod
    async def make(cls, server_url: str, template: str) -> "_Database":
        name = f"test_{uuid4().hex}"
        await run(server_url, f"create database {name} template {template} strategy file_copy")
        url = url_of(server_url, name)
        made = cls(name, url, await asyncpg.connect(url))
        await made._remember()
        return made

    async def drop(self, server_url: str) -> None:
        await self._connection.close()
        await run(server_url, f"drop database {self._name} with (force)")

    async def put_back(self) -> bool:
        """Whether it is as it was; False when it cannot be used any more."""
        self._uses += 1
        await self._connection.execute(_END_OTHERS)
        if self._uses == _USES or await self._catalogue() != self._catalogue_before:
            return False
        touched = [name for name, writes in (await self._writes()).items() if writes != self._writes_before[name]]
        now = await self._contents(touched)
        written = [name for name in touched if now[name] != self._before[name]]
        if any(now[name][0] > _TOO_MANY_ROWS for name in written):
            return False
        if written or await self._sequences() != self._sequences_before:
            await self._restore(written)
            assert await self._contents(written) == {name: self._before[name] for name in written}
            assert await self._sequences() == self._sequences_before
        if touched:
            await self._connection.execute("select pg_stat_force_next_flush()")
            self._writes_before = await self._writes()
        return True

    async def _remember(self) -> None:
        tables = [row["name"] for row in await self._connection.fetch(_TABLES)]
        self._before = await self._contents(tables)
        self._sequences_before = await self._sequences()
        self._catalogue_before = await self._catalogue()
        self._rows = {name: await self._copy_of(name) for name, (rows, _) in self._before.items() if rows}
        self._writes_before = await self._writes()

    async def _copy_of(self, table: str) -> "_Copy":
        columns = [row["attname"] for row in await self._connection.fetch(_COLUMNS, table)]
        schema, name = await self._connection.fetchrow(_NAMES, table) or ("", "")
        rows = BytesIO()
        await self._connection.copy_from_table(name, schema_name=schema, columns=columns, output=rows, format="binary")
        return _Copy(name, schema, columns, rows.getvalue())

    async def _restore(self, written: Sequence[str]) -> None:
        async with self._connection.transaction():
            # No triggers and no foreign keys: rows come back as they were, in whatever order.
            await self._connection.execute(
                "set local session_replication_role = replica;" + "".join(f"delete from {name};" for name in written)
            )
            for copy in (self._rows[name] for name in written if name in self._rows):
                await self._connection.copy_to_table(
                    copy.table,
                    schema_name=copy.schema,
                    columns=copy.columns,
                    source=BytesIO(copy.rows),
                    format="binary",
                )
            for name, start, last in self._sequences_before:
                await self._connection.execute(
                    "select setval($1::text::regclass, $2, $3)", name, last or start, last is not None
                )

    async def _contents(self, tables: Sequence[str]) -> _Contents:
        if not tables:
            return {}
        rows = await self._connection.fetch(" union all ".join(map(_CONTENT.format, tables)))
        return {row["name"]: (row["rows"], row["content"]) for row in rows}

    async def _writes(self) -> Mapping[str, int]:
        return {row["name"]: row["writes"] for row in await self._connection.fetch(_WRITES)}

    async def _sequences(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._connection.fetch(_SEQUENCES)]

    async def _catalogue(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._connection.fetch(_CATALOGUE)]


async def run(url: str, *statements: str) -> None:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def url_of(server_url: str, name: str) -> str:
    """The address of another database of that server."""
    return server_url.replace("/dci?", f"/{name}?")
