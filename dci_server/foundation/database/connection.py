# SPDX-License-Identifier: Apache-2.0
"""The pool, and the few functions through which SQL reaches PostgreSQL.

SQL is `LiteralString`: with the type checker, text built from user input cannot get here. Answers are JSON that
PostgreSQL built; its bytes go to the client untouched, typed by the struct that describes them.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, Generic, LiteralString, TypeAlias, TypeVar, cast
from uuid import UUID

import asyncpg
import structlog

from dci_server.foundation.database.pool import Pool
from dci_server.foundation.database.sql import Condition, all_of, positional
from dci_server.foundation.errors import Conflict, Unavailable
from dci_server.foundation.listing.parameters import Listing

T = TypeVar("T")

Record = asyncpg.Record
Connection: TypeAlias = "Pool | asyncpg.Connection[Record]"
"""A pool runs each statement in a transaction of its own; a connection is for the few that belong together."""

STATEMENT_TIMEOUT_SECONDS = 25

_SECONDS_BETWEEN_TRIES = 1.0

log = structlog.get_logger("dci_server.database")

DATABASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a connection that is being torn down
    OSError,
    TimeoutError,
)
"""What a statement raises: the database refuses it, takes too long over it, or is away."""


def is_database_away(error: BaseException) -> bool:
    """Whether the same statement may well succeed in a moment: nothing is wrong with it."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return False
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(("57", "53", "40", "08"))
    return isinstance(error, DATABASE_ERRORS)


class Json(Generic[T]):
    """JSON text of a `T`, as PostgreSQL built it."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


async def _prepare(connection: "asyncpg.Connection[Record]") -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")


async def open_pool(url: str, *, size: int = 10, patience: float = 0) -> Pool:
    """Raises Unavailable when the database does not answer, for so many seconds."""

    async def connect() -> "asyncpg.Connection[Record]":
        connection: asyncpg.Connection[Record] = await asyncpg.connect(
            url,
            statement_cache_size=500,
            max_cached_statement_lifetime=0,
            command_timeout=STATEMENT_TIMEOUT_SECONDS + 5,
            server_settings={
                "application_name": "dci-server",
                "timezone": "UTC",
                "jit": "off",
                "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
            },
        )
        await _prepare(connection)
        return connection

    pool = Pool(connect, size)
    end = monotonic() + patience
    while True:
        try:
            await pool.open()
        except DATABASE_ERRORS as error:
            kind = type(error).__name__
            if monotonic() >= end:
                raise Unavailable(f"the database does not answer ({kind}); check DATABASE_URL") from error
            log.warning("the database does not answer yet", kind=kind)
            await asyncio.sleep(_SECONDS_BETWEEN_TRIES)
        else:
            return pool


@asynccontextmanager
async def transaction(db: Connection) -> AsyncGenerator["asyncpg.Connection[Record]"]:
    """For what takes several statements: all of them or none."""
    if isinstance(db, Pool):
        async with db.acquire() as connection, connection.transaction():
            yield connection
        return
    async with db.transaction():
        yield db


async def fetch_row(db: Connection, sql: LiteralString, **params: object) -> Record | None:
    text, values = positional(sql, params)
    return await db.fetchrow(text, *values)


async def fetch_rows(db: Connection, sql: LiteralString, **params: object) -> list[Record]:
    text, values = positional(sql, params)
    return await db.fetch(text, *values)


async def fetch_value(db: Connection, sql: LiteralString, **params: object) -> Any:
    text, values = positional(sql, params)
    return await db.fetchval(text, *values)


async def execute(db: Connection, sql: LiteralString, **params: object) -> str:
    text, values = positional(sql, params)
    return await db.execute(text, *values)


async def copy_rows(
    db: Connection, table: LiteralString, columns: Sequence[LiteralString], rows: Iterable[Sequence[object]]
) -> None:
    """Many rows at once, the fastest way there is."""
    if isinstance(db, Pool):
        async with db.acquire() as connection:
            await connection.copy_records_to_table(table, records=rows, columns=columns)
        return
    await db.copy_records_to_table(table, records=rows, columns=columns)


async def fetch_batches(
    db: Connection, sql: LiteralString, size: int, **params: object
) -> AsyncGenerator[list[Record]]:
    """The rows of a long answer, few at a time. A connection is taken until the last of them: do not wait for a client."""
    text, values = positional(sql, params)
    async with transaction(db) as connection:
        cursor = await connection.cursor(text, *values)
        while batch := await cursor.fetch(size):
            yield batch


async def fetch_json(db: Connection, shape: type[T], sql: LiteralString, **params: object) -> Json[T] | None:  # noqa: ARG001
    """The single JSON value that `sql` selects, promised to be a `shape`."""
    raw = await fetch_value(db, sql, **params)
    return None if raw is None else Json[T](raw)


async def fetch_one(
    db: Connection,
    shape: type[T],
    select: LiteralString,
    *conditions: Condition,
    **params: object,
) -> Json[T] | None:
    """The row of `select` that meets the conditions, as JSON. `select` ends before its `where`."""
    where = all_of(*conditions)
    sql = "select row_to_json(found) from (" + select + " where " + where.sql + " limit 1) as found"
    return await fetch_json(db, shape, sql, **where.params, **params)


async def fetch_page(
    db: Connection,
    shape: type[T],  # noqa: ARG001
    plural: LiteralString,
    select: LiteralString,
    source: LiteralString,
    visible: Condition,
    listing: Listing,
    *,
    total: LiteralString | None = None,
    params: Mapping[str, object] | None = None,
) -> Json[list[T]]:
    """`{"<plural>": […], "_meta": {"count": n}}`, built by PostgreSQL in one statement.

    `source` names the table (`jobs`, or a join); only the rows of the page are read in full by `select`, whose `from`
    is left to this function. `total` is a cheaper way to count when the listing narrows nothing.
    """
    where = all_of(visible, listing.condition)
    table = source.split()[0]
    window, bounds = _window(where, listing)
    counted: LiteralString = "select count(*) from " + source + " where " + where.sql
    if total is not None and not listing.is_filtered:
        count: LiteralString = "(" + total + ")"
    else:
        # A page that is not full is the last one, and says how many rows there are without another walk.
        count = (
            "case when page.rows < %(page_limit)s::bigint and (page.rows > 0 or %(page_offset)s::bigint = 0)"
            " then %(page_offset)s::bigint + page.rows else (" + counted + ") end"
        )
        bounds = _bounds(listing)
    sql = (
        "select json_build_object('" + plural + "', coalesce(page.items, '[]'::json), '_meta', "
        "json_build_object('count', " + count + ")) from (select json_agg(row_to_json(item)) as items, "
        "count(*) as rows from (" + select + " from (select " + table + ".* from " + source + " where " + where.sql
        + " order by " + listing.order_by + window + ") as " + table + ") as item) as page"
    )  # fmt: skip
    return Json(await fetch_value(db, sql, **{**(params or {}), **where.params, **bounds}))


# A page size that PostgreSQL knows lets it keep its plan; every other text is one more statement to remember.
_USUAL_SIZES: Mapping[int, LiteralString] = {1: "1", 10: "10", 20: "20", 50: "50", 100: "100", 200: "200"}


def _window(where: Condition, listing: Listing) -> tuple[LiteralString, dict[str, object]]:
    """`limit … offset …`: in the text for the first page of what has no filter, as parameters otherwise.

    With parameters PostgreSQL plans each time, for the values at hand. A filter needs that, and so do several teams: rows
    of a busy one are found by walking back in time, rows of an idle one are not. See decision 0015.
    """
    size = _USUAL_SIZES.get(listing.limit)
    has_lists = any(isinstance(value, list) and len(cast("list[object]", value)) > 1 for value in where.params.values())
    if size is None or listing.offset or listing.is_filtered or has_lists:
        return " limit %(page_limit)s::bigint offset %(page_offset)s::bigint", _bounds(listing)
    return " limit " + size, {}


def _bounds(listing: Listing) -> dict[str, object]:
    return {"page_limit": listing.limit, "page_offset": listing.offset}


def by_id(table: LiteralString, identifier: UUID) -> Condition:
    return Condition(table + ".id = %(id)s", {"id": identifier})


@contextmanager
def refusing_duplicates(verb: LiteralString = "create") -> Generator[None]:
    """The database has the last word on what may exist once, and on what is referred to (conventions §10)."""
    text = f"We are unable to {verb} this resource. A similar resource already exists."
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Conflict(
            text, {"error": {_DUPLICATES.get(error.constraint_name or "", "name"): "already_exists"}}
        ) from error
    except asyncpg.ForeignKeyViolationError as error:
        missing = (error.constraint_name or "").removesuffix("_fkey").partition("_")[2]
        raise Conflict(text, {"error": {missing or "reference": "does not exist"}}) from error
    except asyncpg.NotNullViolationError as error:
        # What is referred to was looked for among what is not archived, and is not there.
        raise Conflict(text, {"error": {error.column_name or "reference": "does not exist"}}) from error


_DUPLICATES = {
    "products_label_key": "label",
    "users_topics_pkey": "topic_id",
    "users_email_key": "email",
    "users_sso_username_key": "sso_username",
    "users_sso_sub_key": "sso_sub",
    "components_active_global_key": "display_name",
    "components_active_team_key": "display_name",
}
