# SPDX-License-Identifier: Apache-2.0
"""Objects that no row refers to leave the store, whatever happened to those who should have removed them.

`objects_to_remove` lists them. Who publishes an object announces its key there first (`announce_object`), and takes the
announcement back in the statement that inserts the row that refers to it (`UNCLAIMED_FOR` says how long that may take).
Rows that are deleted put their keys there by trigger.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import LiteralString
from uuid import UUID

from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection, execute, fetch_rows, fetch_value, transaction
from dci_server.foundation.storage.store import Store

UNCLAIMED_FOR: LiteralString = "interval '6 hours'"
"""From the announcement of an object to the row that refers to it."""
READERS_NEED: LiteralString = "interval '1 hour'"
"""Who was told where a replaced object is may read it: an address of a bucket works for ten minutes, and a download takes
its time."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OF_A_ROW = re.compile(rf"(?:files|components|packs)/{_UUID}/{_UUID}/{_UUID}|uploads/{_UUID}/{_UUID}")
_LONGEST_UPLOAD = timedelta(hours=6)
_SECONDS_BETWEEN_PASSES = 60.0
_SECONDS_BETWEEN_SWEEPS = 6 * 3600.0
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """What a look at the store found; `is_all` when it looked at everything."""

    looked_at: int
    objects: int
    size: int
    is_all: bool


async def announce_object(db: Connection, key: str) -> None:
    """Before it is published: should nobody take the announcement back, the object is removed one day."""
    await execute(
        db,
        "insert into objects_to_remove (key, not_before) values (%(key)s::text, utc_now() + " + UNCLAIMED_FOR + ")",
        key=key,
    )


async def give_up_object(db: Connection, key: str) -> None:
    """No row is going to refer to it: it may be removed at once."""
    await execute(db, "select remove_object(%(key)s::text)", key=key)


async def give_up_all_objects(db: Connection) -> None:
    """For the only server of a database, before it serves: nobody is left who could refer to what was announced."""
    await execute(db, "update objects_to_remove set not_before = utc_now() where not_before > utc_now()")


async def count_waiting(db: Connection) -> int:
    """Those that could have been removed by now."""
    return await fetch_value(db, "select count(*) from objects_to_remove where not_before <= utc_now()")


async def count_unreferenced(db: Connection, store: Store, most: int) -> Unreferenced:
    """Objects that look like files of ours, but that no row refers to and nothing is going to remove.

    Other things below `components/` are the trees of components, which no row refers to.
    """
    looked_at = objects = size = 0
    for prefix in ("files", "components", "packs", "uploads"):
        async for entries in store.entries(prefix):
            strays = await _strays(db, [entry.key for entry in entries])
            objects += len(strays)
            size += sum(entry.size for entry in entries if entry.key in strays)
            looked_at += len(entries)
            if looked_at >= most:
                return Unreferenced(looked_at, objects, size, is_all=False)
    return Unreferenced(looked_at, objects, size, is_all=True)


async def _strays(db: Connection, keys: list[str]) -> set[str]:
    suspects = [key for key in keys if _OF_A_ROW.fullmatch(key)]
    rows = await fetch_rows(
        db,
        """select key from unnest(%(keys)s::text[], %(ids)s::uuid[]) as found (key, id)
           where not exists (select from files where files.id = found.id and files.content_removed_at is null
                             and file_key(files.team_id, files.job_id, files.id) = found.key)
             and not exists (select from component_files where component_files.id = found.id
                             and component_files.key = found.key)
             and not exists (select from packs where packs.id = found.id and packs.key = found.key)
             and not exists (select from uploads_pieces where upload_id = split_part(found.key, '/', 2)::uuid
                             and uploads_pieces.key = found.key)
             and not exists (select from objects_to_remove where objects_to_remove.key = found.key)""",
        keys=suspects,
        ids=[UUID(key.rpartition("/")[2]) for key in suspects],
    )
    return {row["key"] for row in rows}


async def remove_due(db: Connection, store: Store) -> int:
    """All that may be removed now, in several processes at once; how many. Raises StoreUnavailable after what was done."""
    removed = 0
    after = ""
    while True:
        async with transaction(db) as connection:
            rows = await fetch_rows(
                connection,
                """select key from objects_to_remove where key > %(after)s::text and not_before <= utc_now()
                   order by key limit %(at_once)s::integer for update skip locked""",
                after=after,
                at_once=_AT_ONCE,
            )
            outcomes = await asyncio.gather(*(store.delete(row["key"]) for row in rows), return_exceptions=True)
            gone = [row["key"] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
            await execute(connection, "delete from objects_to_remove where key = any(%(gone)s::text[])", gone=gone)
        removed += len(gone)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        if len(rows) < _AT_ONCE:
            return removed
        after = rows[-1]["key"]


def object_remover(db: Connection, store: Store) -> Repeating:
    next_sweep = monotonic()

    async def remove_objects() -> bool:
        nonlocal next_sweep
        await remove_due(db, store)
        if monotonic() >= next_sweep:
            next_sweep = monotonic() + _SECONDS_BETWEEN_SWEEPS
            await store.sweep(_LONGEST_UPLOAD)
        return False

    return Repeating("objects to remove", remove_objects, idle=_SECONDS_BETWEEN_PASSES)
