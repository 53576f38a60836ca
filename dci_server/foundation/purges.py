# SPDX-License-Identifier: Apache-2.0
"""What was archived can be listed and deleted for good, by super admins (conventions §13).

A purge tells in headers, and in the log, how many rows went and how many bytes of files with them: its answer has no body.

Jobs and their files go in statements of so many rows, each of which is committed: all that a laboratory ever did is more
than one statement has time for. Who is interrupted has got that far, and the next purge goes on.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import asyncpg
import structlog

from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.database.connection import Connection, Record, fetch_row, fetch_rows
from dci_server.foundation.errors import Conflict, Unavailable
from dci_server.foundation.http import Call, Response, Route, get, post
from dci_server.foundation.storage.removal import remove_due

_LISTED_AT_ONCE = 20
"""The data of a job may have megabytes."""

JOBS_LOOKED_FOR_AT_ONCE = 10_000
JOBS_AT_ONCE = 500
FILES_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Purged:
    """What is gone: rows of what was purged, and bytes of the files that were them or hung on them."""

    rows: int = 0
    size: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(self.rows + other.rows, self.size + other.size)


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
    jobs: LiteralString | None = None,
    referring: LiteralString | None = None,
) -> list[Route]:
    """`GET` and `POST /<plural>/purge`; `before` and `after` give back what the rows hold outside the database.

    `jobs` is SQL for which jobs go with what is archived, a condition on `jobs`; they go first, with their files.
    `referring` selects what forbids the purge, lest jobs go when the rows that they hang on have to stay.
    `size` is SQL for the bytes of other files that go with the rows, whose ids are in `purged`.
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
        below = Purged()
        if jobs is not None:
            await _require_unused(call.db, plural, jobs, referring)
            async for some in purge_jobs(call.db, jobs):
                below += some
        try:
            row = await fetch_row(call.db, _purge(plural, size))
        except asyncpg.ForeignKeyViolationError as error:
            raise Conflict(_still_used(plural, error.table_name, deleted=below.rows)) from error
        assert row is not None
        if after is not None:
            await after(call)
        rows = row["rows"] + (below.rows if plural == "jobs" else 0)
        return purged_answer(plural, Purged(rows, gone.size + below.size + row["size"]))

    return [
        get("/" + plural + "/purge", list_archived, answer, who=SUPER_ADMINS),
        post("/" + plural + "/purge", purge, None, None, who=SUPER_ADMINS, status=204),
    ]


async def purge_jobs(db: Connection, which: LiteralString) -> AsyncIterator[Purged]:
    """The newest first: a job refers to older ones. Those that one which stays has come to refer to are left."""
    while ids := await _newest_jobs(db, which):
        for start in range(0, len(ids), JOBS_AT_ONCE):
            some = ids[start : start + JOBS_AT_ONCE]
            while (files := await _purge_files(db, some)).rows:
                yield Purged(0, files.size)
            try:
                yield await _purge_jobs(db, some)
            except asyncpg.ForeignKeyViolationError:
                return


async def _newest_jobs(db: Connection, which: LiteralString) -> list[UUID]:
    rows = await fetch_rows(
        db,
        "select jobs.id from jobs where " + which + " order by jobs.created_at desc, jobs.id desc"
        " limit %(at_once)s::integer",
        at_once=JOBS_LOOKED_FOR_AT_ONCE,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def _purge_files(db: Connection, job_ids: list[UUID]) -> Purged:
    """The objects of those that have some are listed by a trigger."""
    row = await fetch_row(
        db,
        """with purged as (delete from files where id in
               (select id from files where job_id = any(%(job_ids)s::uuid[]) limit %(at_once)s::integer)
               returning case when content_removed_at is null then size else 0 end as size)
           select count(*) as rows, coalesce(sum(size), 0)::bigint as size from purged""",
        job_ids=job_ids,
        at_once=FILES_AT_ONCE,
    )
    assert row is not None
    return Purged(row["rows"], row["size"])


async def _purge_jobs(db: Connection, job_ids: list[UUID]) -> Purged:
    """With the files that came meanwhile."""
    row = await fetch_row(
        db,
        """with purged as (delete from jobs where id = any(%(job_ids)s::uuid[]) returning id)
           select (select count(*) from purged) as rows,
                  (select coalesce(sum(files.size), 0) from files where files.job_id in (select id from purged)
                          and files.content_removed_at is null)::bigint as size""",
        job_ids=job_ids,
    )
    assert row is not None
    return Purged(row["rows"], row["size"])


async def _require_unused(
    db: Connection, plural: LiteralString, which: LiteralString, referring: LiteralString | None
) -> None:
    """The database would say so at the end, when the newer jobs are gone already."""
    kept: LiteralString = "exists (select from jobs where (" + which + ") is not true and jobs."
    going: LiteralString = " in (select jobs.id from jobs where " + which + "))"
    row = await fetch_row(
        db,
        "select " + kept + "previous_job_id" + going + " or " + kept + "update_previous_job_id" + going + " as by_jobs, "
        + ("exists (" + referring + ")" if referring is not None else "false") + " as otherwise",
    )  # fmt: skip
    assert row is not None
    if row["by_jobs"] or row["otherwise"]:
        raise Conflict(_still_used(plural, "jobs" if row["by_jobs"] else "topics"))


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


def _still_used(plural: str, referring: str | None, *, deleted: int = 0) -> str:
    what = f"{referring} still refer" if referring else "something still refers"
    how_far = "only some jobs were deleted" if deleted else "nothing was deleted"
    return f"{how_far}: {what} to archived {plural}; delete or change those first"
