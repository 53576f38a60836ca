# SPDX-License-Identifier: Apache-2.0
"""The hub that is imported: read in one snapshot, never written; looked at before anything else is done."""

from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, LiteralString, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from dci_server.foundation.errors import ApiError
from dci_server.importing.steps import Present, Step

SourceConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SECONDS_TO_CONNECT = 15
_FEW = 100_000
_BOOKKEEPING = frozenset({"alembic_version"})
# Columns that are read otherwise, or known and of no use here.
_KNOWN: dict[str, frozenset[str]] = {
    "remotecis": frozenset({"api_secret"}),
    "feeders": frozenset({"api_secret"}),
    "counter": frozenset({"created_at", "updated_at"}),
}


class SourceError(ApiError):
    """The source can't be imported; the message says why."""


@dataclass(frozen=True)
class LeftBehind:
    """What the source has and we have no place for."""

    what: str
    rows: int
    why: str


@dataclass(frozen=True)
class Source:
    db: SourceConnection
    name: str
    present: Present
    unreadable: frozenset[str]
    """Tables that the role of the URL may not read."""
    id: UUID
    """Of its team `admin`: it tells one hub from another."""

    def has(self, step: Step) -> bool:
        return step.table in self.present and step.needs <= self.present[step.table]

    async def rough_count(self, step: Step) -> int:
        """Exact for small tables, PostgreSQL's estimate for big ones: for the progress bar."""
        with source_errors():
            estimate: float = await self.db.fetchval(
                "select reltuples from pg_class where oid = to_regclass(quote_ident($1))", step.table
            )
            if estimate >= _FEW and step.condition == "true":
                return int(estimate)
            source: LiteralString = step.source or step.table
            return await self.db.fetchval(
                "select count(*) from " + source + " as t " + step.join + " where " + step.condition
            )

    async def left_behind(self, steps: Iterable[Step]) -> list[LeftBehind]:
        """Tables and columns that no step reads, when there is something in them."""
        read = _columns_read(steps)
        found: list[LeftBehind] = []
        for table, columns in sorted(self.present.items()):
            if table in _BOOKKEEPING:
                continue
            if table in self.unreadable:
                found.append(LeftBehind(f"table {table}", 0, "the role of --from may not read it"))
            elif table not in read:
                rows = await self._count(table, None)
                found.append(LeftBehind(f"table {table}", rows, "this version does not know it"))
            for column in sorted(columns - read.get(table, columns)):
                rows = await self._count(table, column)
                if rows:
                    found.append(LeftBehind(f"column {table}.{column}", rows, "this version does not know it"))
        return found

    async def _count(self, table: str, column: str | None) -> int:
        """Rows, or rows in which the column says something."""
        with source_errors():
            names: dict[str, Any] = dict(
                await self.db.fetchrow("select quote_ident($1) as t, quote_ident($2::text) as c", table, column) or {}
            )
            counted = "*" if column is None else names["c"]
            return await self.db.fetchval(f"select count({counted}) from {names['t']}")


def _columns_read(steps: Iterable[Step]) -> dict[str, set[str]]:
    read: dict[str, set[str]] = {}
    for step in steps:
        names = {column.name for column in step.columns} | step.essential | step.needs
        read.setdefault(step.table, set(_KNOWN.get(step.table, ()))).update(names)
    return read


@asynccontextmanager
async def open_source(url: str, steps: Iterable[Step]) -> AsyncGenerator[Source]:
    """Everything is read as it was at one moment. Raises SourceError before anything is read when it is no such hub."""
    db = await _connect(url)
    try:
        with source_errors():
            await db.execute("begin transaction isolation level repeatable read read only")
            present, unreadable = await _present(db)
        _require_control_server(present, unreadable, steps)
        with source_errors():
            identity: UUID | None = await db.fetchval("select id from teams where name = 'admin'")
        if identity is None:
            raise SourceError("the database of --from has no team admin: this is no control server's database")
        yield Source(db, _name(url), present, unreadable, identity)
    finally:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            # A query that was given up is not waited for.
            db.terminate()


async def _connect(url: str) -> SourceConnection:
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"postgresql", "postgres"}:
            raise ValueError
        return await asyncpg.connect(
            url,
            timeout=_SECONDS_TO_CONNECT,
            statement_cache_size=0,
            server_settings={
                "application_name": "dci-server import",
                "default_transaction_read_only": "on",
                "timezone": "UTC",
                "datestyle": "ISO",
                "extra_float_digits": "3",
                "statement_timeout": "0",
                "idle_in_transaction_session_timeout": "0",
            },
        )
    except asyncpg.PostgresError as error:
        raise SourceError(f"the database of --from refused: {error.args[0]}") from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise SourceError(
            f"the database of --from does not answer ({type(error).__name__}); check host, port and network"
        ) from error
    except ValueError as error:
        raise SourceError(
            "--from can't be read; write postgresql://user:password@host:5432/database, "
            "with %-codes for special characters in the password"
        ) from error


def _name(url: str) -> str:
    """Without user, password and options."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def _present(db: SourceConnection) -> tuple[Present, frozenset[str]]:
    """What is there, and which tables of it may not be read."""
    rows = await db.fetch(
        """select c.relname::text as table, array_agg(a.attname::text) as columns,
                  bool_and(has_column_privilege(c.oid, a.attnum, 'select')) as is_readable
           from pg_class as c join pg_attribute as a on a.attrelid = c.oid
           where c.relkind in ('r', 'p', 'v', 'm') and pg_table_is_visible(c.oid) and a.attnum > 0 and not a.attisdropped
             and c.relnamespace not in (select oid from pg_namespace where nspname ~ '^pg_' or nspname = 'information_schema')
           group by c.relname"""
    )
    present = {row["table"]: frozenset(row["columns"]) for row in rows}
    return present, frozenset(row["table"] for row in rows if not row["is_readable"])


def _require_control_server(present: Present, unreadable: frozenset[str], steps: Iterable[Step]) -> None:
    for step in steps:
        if step.table in unreadable:
            raise SourceError(f"the role of --from may not read the table {step.table}: grant it select on all tables")
        if step.table not in present:
            if step.is_essential:
                raise SourceError(
                    f"the database of --from has no table {step.table}: this is no control server's database"
                )
            continue
        missing = sorted(step.essential - present[step.table])
        if missing:
            raise SourceError(
                f"the table {step.table} of --from has no column {missing[0]}: this is no control server's database, "
                "or of a version that can't be imported"
            )


@contextmanager
def source_errors() -> Generator[None]:
    """In words of ours, and without the URL."""
    try:
        yield
    except asyncpg.PostgresConnectionError as error:
        raise SourceError("the connection to the source was lost; run the same command again to continue") from error
    except asyncpg.PostgresError as error:
        raise SourceError(f"the source refused: {error.args[0]}; run the same command again to continue") from error
    except (asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise SourceError(
            f"the source does not answer any more ({type(error).__name__}); run the same command again to continue"
        ) from error
