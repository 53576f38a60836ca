# SPDX-License-Identifier: Apache-2.0
"""Archived files and jobs are deleted for good, and give their bytes back (files.md §6, jobs.md §14)."""

import asyncio
from typing import LiteralString

from dci_server.features.files.model import FilesAnswer, store_key
from dci_server.features.jobs.model import ArchivedJobsAnswer
from dci_server.features.jobs.queries import FILE_COLUMNS, JOB_COLUMNS
from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.database.connection import Connection, execute, fetch_rows, transaction
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, post
from dci_server.foundation.purges import purge_routes, remove_objects
from dci_server.foundation.storage import Store

_AT_ONCE = 50
_OF_ROW: LiteralString = "exists (select from files_contents where file_id = files.id)"


async def purge_files(db: Connection, store: Store) -> None:
    """Each object before its row. At the first failure of the store it stops: what is left is whole, and can be tried again."""
    await execute(db, "delete from files where state = 'archived' and " + _OF_ROW)
    while await _purge_some(db, store):
        pass


async def _purge_some(db: Connection, store: Store) -> bool:
    """Whether there may be more."""
    async with transaction(db) as connection:
        rows = await fetch_rows(
            connection,
            """select id, team_id, job_id from files where state = 'archived' order by id limit %(at_once)s::integer
               for update skip locked""",
            at_once=_AT_ONCE,
        )
        keys = [store_key(row["team_id"], row["job_id"], row["id"]) for row in rows]
        outcomes = await asyncio.gather(*(store.delete(key) for key in keys), return_exceptions=True)
        gone = [row["id"] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
        await execute(connection, "delete from files where id = any(%(gone)s::uuid[])", gone=gone)
        # The trigger has put the keys on the list of what is to be removed; that is done already.
        removed = [key for key, outcome in zip(keys, outcomes, strict=True) if outcome is None]
        await execute(connection, "delete from objects_to_remove where key = any(%(keys)s::text[])", keys=removed)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        raise failed[0]
    return len(rows) == _AT_ONCE


async def _purge_files(call: Call) -> Response:
    """Deletes the archived files, for good."""
    SUPER_ADMINS.require(call.caller)
    await purge_files(call.db, call.services.store)
    return NO_CONTENT


async def _files_first(call: Call) -> None:
    await purge_files(call.db, call.services.store)


_LIST_FILES, _ = purge_routes("files", FILE_COLUMNS, FilesAnswer)
routes: list[Route] = [
    _LIST_FILES,
    post("/files/purge", _purge_files, None, None, who=SUPER_ADMINS, status=204),
    *purge_routes("jobs", JOB_COLUMNS + ", jobs.data", ArchivedJobsAnswer, before=_files_first, after=remove_objects),
]
