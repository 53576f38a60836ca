# SPDX-License-Identifier: Apache-2.0
"""What was archived can be listed and deleted for good, by super admins (conventions §13).

A purge tells in headers, and in the log, how many rows went and how many bytes of files with them: its answer has no body.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import asyncpg
import structlog

from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.database.connection import Connection, Record, fetch_row
from dci_server.foundation.errors import Conflict, Unavailable
from dci_server.foundation.http import Call, Response, Route, get, post
from dci_server.foundation.storage.removal import remove_due

_LISTED_AT_ONCE = 20
"""The data of a job may have megabytes."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What is gone: rows of what was purged, and bytes of the files that were them or hung on them."""

    rows: int = 0
    size: int = 0


log = structlog.get_logger("dci_server.purges")


def purged_answer(plural: str, purged: Purged) -> Response:
    log.info("purged", resource=plural, rows=purged.rows, bytes=purged.size)
    return Response(
        204,
        headers=(
            (b"x-dci-purged-rows", str(purged.rows).encode()),
            (b"x-dci-purged-bytes", str(purged.size).encode()),
        ),
    )


async def remove_objects(call: Call) -> None:
    """What the deleted rows held in the store; what can't be removed now is tried again in the background."""
    with suppress(Unavailable):
        await remove_due(call.db, call.services.store)


def purge_routes(
    plural: LiteralString,
    columns: LiteralString,
    answer: type[Any],
    *,
    before: Callable[[Call], Awaitable[Purged]] | None = None,
    after: Callable[[Call], Awaitable[None]] | None = None,
    size: LiteralString = "0",
) -> list[Route]:
    """`GET` and `POST /<plural>/purge`; `before` and `after` give back what the rows hold outside the database.

    `size` is SQL for the bytes of the files that go with the rows, whose ids are in `purged`.
    """

    async def list_archived(call: Call) -> Response:
        """What a purge would delete."""
        SUPER_ADMINS.require(call.caller)
        first = await _page(call.db, plural, columns, UUID(int=0))
        return Response(stream=_told(call.db, plural, columns, first))

    async def purge(call: Call) -> Response:
        """Deletes what is archived, for good, with all that depends on it; nothing when something still refers to it."""
        SUPER_ADMINS.require(call.caller)
        gone = Purged() if before is None else await before(call)
        try:
            row = await fetch_row(call.db, _purge(plural, size))
        except asyncpg.ForeignKeyViolationError as error:
            raise Conflict(_still_used(plural, error.table_name)) from error
        assert row is not None
        if after is not None:
            await after(call)
        return purged_answer(plural, Purged(row["rows"], gone.size + row["size"]))

    return [
        get("/" + plural + "/purge", list_archived, answer, who=SUPER_ADMINS),
        post("/" + plural + "/purge", purge, None, None, who=SUPER_ADMINS, status=204),
    ]


async def _told(db: Connection, plural: LiteralString, columns: LiteralString, page: Record) -> AsyncIterator[bytes]:
    """In pieces: there may be more than fit into memory, and clients read all of them before they purge."""
    count, separator = 0, b'{"' + plural.encode() + b'" : ['
    while page["count"]:
        yield separator + page["rows"][1:-1]
        count, separator = count + page["count"], b", "
        page = await _page(db, plural, columns, page["last"])
    yield (separator if not count else b"") + b'], "_meta" : {"count" : %d}}' % count


async def _page(db: Connection, plural: LiteralString, columns: LiteralString, after: UUID) -> Record:
    row = await fetch_row(
        db,
        "select json_agg(row_to_json(archived)) as rows, count(*) as count,"
        " (array_agg(archived.id order by archived.id desc))[1] as last from (select " + columns + " from " + plural
        + " where " + plural + ".state = 'archived' and " + plural + ".id > %(after)s::uuid order by " + plural
        + ".id limit %(at_once)s::integer) as archived",
        after=after,
        at_once=_LISTED_AT_ONCE,
    )  # fmt: skip
    assert row is not None
    return row


def _purge(plural: LiteralString, size: LiteralString) -> LiteralString:
    """All parts of a statement see the same moment: what goes with the rows is still there to be added up."""
    return (
        "with purged as (delete from " + plural + " where state = 'archived' returning id)"
        " select (select count(*) from purged) as rows, (" + size + ")::bigint as size"
    )  # fmt: skip


def _still_used(plural: str, referring: str | None) -> str:
    what = f"{referring} still refer" if referring else "something still refers"
    return f"nothing was deleted: {what} to archived {plural}; delete or change those first"
