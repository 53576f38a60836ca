# SPDX-License-Identifier: Apache-2.0
"""Archived files and jobs are deleted for good, and give their bytes back (files.md §6, jobs.md §14)."""

import asyncio
from typing import LiteralString
from uuid import UUID

from dci_server.features.files.model import FilesAnswer, store_key
from dci_server.features.jobs.model import ArchivedJobsAnswer
from dci_server.features.jobs.queries import FILE_COLUMNS, JOB_COLUMNS
from dci_server.features.packs.queries import delete_empty_packs
from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.database.connection import Connection, execute, fetch_row, fetch_rows, transaction
from dci_server.foundation.http import Call, Response, Route, post
from dci_server.foundation.purges import Purged, purge_routes, purged_answer, remove_objects
from dci_server.foundation.storage import Store

_AT_ONCE = 50
ROWS_AT_ONCE = 5_000
_HAS_NO_OBJECT: LiteralString = (
    "(files.content_removed_at is not null or exists (select from files_contents where file_id = files.id)"
    " or exists (select from files_packed where file_id = files.id))"
)


async def purge_files(db: Connection, store: Store) -> Purged:
    """Each object before its row. At the first failure of the store it stops: what is left is whole, and can be tried again.

    Whoever dies in between leaves archived rows whose objects are gone already; the next purge takes those.
    """
    rows = size = 0
    last: UUID | None = UUID(int=0)
    while last is not None:
        some, last = await _purge_rows(db, last)
        rows, size = rows + some.rows, size + some.size
    await delete_empty_packs(db)
    while more := await _purge_some(db, store):
        rows, size = rows + more.rows, size + more.size
    return Purged(rows, size)


async def _purge_rows(db: Connection, after: UUID) -> tuple[Purged, UUID | None]:
    """Those without an object of their own, among so many as a statement has time for; which was the last, None at the end."""
    row = await fetch_row(
        db,
        """with next_ones as materialized (
               select id from files where state = 'archived' and id > %(after)s::uuid
               order by id limit %(at_once)s::integer for update skip locked
           ), purged as (
               delete from files using next_ones where files.id = next_ones.id and """
        + _HAS_NO_OBJECT
        + """
               returning case when content_removed_at is null then size else 0 end as size
           ) select count(*) as rows, coalesce(sum(size), 0)::bigint as size,
                    (select id from next_ones order by id desc limit 1) as last
             from purged""",
        after=after,
        at_once=ROWS_AT_ONCE,
    )
    assert row is not None
    return Purged(row["rows"], row["size"]), row["last"]


async def _purge_some(db: Connection, store: Store) -> Purged | None:
    """None when nothing is left."""
    async with transaction(db) as connection:
        rows = await fetch_rows(
            connection,
            "select id, team_id, job_id, size from files where state = 'archived' and not "
            + _HAS_NO_OBJECT
            + " order by id limit %(at_once)s::integer for update skip locked",
            at_once=_AT_ONCE,
        )
        keys = [store_key(row["team_id"], row["job_id"], row["id"]) for row in rows]
        outcomes = await asyncio.gather(*(store.delete(key) for key in keys), return_exceptions=True)
        gone = [row for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
        ids = [row["id"] for row in gone]
        await execute(connection, "delete from files where id = any(%(ids)s::uuid[])", ids=ids)
        # The trigger has put the keys on the list of what is to be removed; that is done already.
        removed = [key for key, outcome in zip(keys, outcomes, strict=True) if outcome is None]
        await execute(connection, "delete from objects_to_remove where key = any(%(keys)s::text[])", keys=removed)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        raise failed[0]
    return Purged(len(gone), sum(row["size"] for row in gone)) if gone else None


async def _purge_files(call: Call) -> Response:
    """Deletes the archived files, for good."""
    SUPER_ADMINS.require(call.caller)
    purged = await purge_files(call.db, call.services.store)
    await remove_objects(call)
    return purged_answer("files", purged)


async def _files_first(call: Call) -> Purged:
    return await purge_files(call.db, call.services.store)


_LIST_FILES, _ = purge_routes("files", FILE_COLUMNS, FilesAnswer)
routes: list[Route] = [
    _LIST_FILES,
    post("/files/purge", _purge_files, None, None, who=SUPER_ADMINS, status=204),
    *purge_routes(
        "jobs",
        JOB_COLUMNS + ", jobs.data",
        ArchivedJobsAnswer,
        before=_files_first,
        after=remove_objects,
        jobs="jobs.state = 'archived'",
    ),
]
