# SPDX-License-Identifier: Apache-2.0
"""The SQL of packs. Each step is one statement, so that a process may die between any two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from dci_server.features.packs.model import FEWEST_FILES, Entry
from dci_server.foundation.database.connection import Connection, Record, execute, fetch_row, fetch_rows, fetch_value

# Longer than packing takes, the store's hesitation included.
_LEASE: LiteralString = "interval '5 minutes'"
_READERS_NEED: LiteralString = "interval '10 minutes'"
_ENTRIES: LiteralString = """unnest(%(ids)s::uuid[], %(frame_starts)s::bigint[], %(frame_sizes)s::integer[],
                                    %(starts)s::integer[]) as entry (file_id, frame_start, frame_size, start)"""
# The job's and the files' rows are locked first: who deletes them waits here, and then finds the files packed.
_JOB: LiteralString = "with job as (select id from jobs where id = %(job_id)s::uuid for key share)"
_LOCKED: LiteralString = (
    _JOB
    + """, locked as (
    select files.id from files, job where files.id = any(%(ids)s::uuid[]) order by files.id for key share of files
)"""
)
# Who replaces what they hold waits as well; and who was quicker has given them another etag.
_LOCKED_AS_READ: LiteralString = (
    _JOB
    + """, locked as (
    select files.id from job, unnest(%(ids)s::uuid[], %(etags)s::text[]) as read (file_id, etag)
    join files on files.id = read.file_id and files.etag = read.etag
    order by files.id for no key update of files
)"""
)
# A pack's row comes with the announcement of its object taken back, and neither without files.
_PACK: LiteralString = """claimed as (
    delete from objects_to_remove
    where key = %(key)s::text and not_before > utc_now() and exists (select from there) returning key
), pack as (
    insert into packs (id, job_id, key, size, content_size)
    select %(pack_id)s::uuid, job.id, claimed.key, %(size)s::bigint, %(content_size)s::bigint from claimed, job
    returning id
)"""
_BEFORE_ALL = datetime(1, 1, 1)  # noqa: DTZ001 # times have no zone here


@dataclass(frozen=True, slots=True)
class NewPack:
    """An object that is in the store, and what it holds."""

    id: UUID
    job_id: UUID
    key: str
    size: int
    content_size: int
    entries: Sequence[Entry]

    def parameters(self) -> dict[str, object]:
        return {
            "pack_id": self.id,
            "job_id": self.job_id,
            "key": self.key,
            "size": self.size,
            "content_size": self.content_size,
            "ids": [entry.file_id for entry in self.entries],
            "frame_starts": [entry.frame_start for entry in self.entries],
            "frame_sizes": [entry.frame_size for entry in self.entries],
            "starts": [entry.start for entry in self.entries],
        }


async def take_quiet_job(db: Connection, quiet_seconds: float) -> Record | None:
    """A job that nobody else packs now, and since when it has been quiet."""
    return await fetch_row(
        db,
        """update jobs_to_pack set packed_until = utc_now() + """
        + _LEASE
        + """ where job_id = (
               select job_id from jobs_to_pack
               where quiet_since < utc_now() - make_interval(secs => %(quiet)s::double precision)
                     and (packed_until is null or packed_until < utc_now())
               order by quiet_since limit 1 for update skip locked
           ) returning job_id, quiet_since, (select status in ('success', 'failure', 'killed', 'error')
                                             from jobs where jobs.id = job_id) as is_over,
                     (select team_id from jobs where jobs.id = job_id) as team_id""",
        quiet=quiet_seconds,
    )


async def forget_quiet_job(db: Connection, job_id: UUID, quiet_since: object) -> None:
    """Unless something has happened to it meanwhile."""
    await execute(
        db,
        "delete from jobs_to_pack where job_id = %(job_id)s::uuid and quiet_since = %(quiet_since)s::timestamp",
        job_id=job_id,
        quiet_since=quiet_since,
    )


async def leave_quiet_job(db: Connection, job_id: UUID) -> None:
    """To whoever comes next."""
    await execute(db, "update jobs_to_pack set packed_until = null where job_id = %(job_id)s::uuid", job_id=job_id)


async def count_inline(db: Connection, job_id: UUID) -> int:
    """At most as many as make a pack worth it."""
    return await fetch_value(
        db,
        """select count(*) from (
               select from files join files_contents on file_id = files.id
               where files.job_id = %(job_id)s::uuid and files.state <> 'archived' and files.size <= 65536
               limit %(fewest)s::integer) as first_ones""",
        job_id=job_id,
        fewest=FEWEST_FILES,
    )


async def list_inline(db: Connection, job_id: UUID, after: Record | None, page: int) -> list[Record]:
    """The next files of a job whose bytes are in their rows, in the order in which they came."""
    return await fetch_rows(
        db,
        """select files.id, files.created_at, files.etag, is_compressed, bytes from files join files_contents on file_id = files.id
           where files.job_id = %(job_id)s::uuid and files.state <> 'archived' and files.size <= 65536
                 and (files.created_at, files.id) > (%(created_at)s::timestamp, %(id)s::uuid)
           order by files.created_at, files.id limit %(page)s::integer""",
        job_id=job_id,
        created_at=after["created_at"] if after else _BEFORE_ALL,
        id=after["id"] if after else UUID(int=0),
        page=page,
    )


async def insert_pack(db: Connection, new: NewPack, etags: Mapping[UUID, str]) -> int:
    """How many files are in the pack now, and no longer in their rows: those that are still as they were read."""
    return await fetch_value(
        db,
        _LOCKED_AS_READ
        + """, there as (
               select file_id from files_contents where file_id in (select id from locked) for update
           ), """
        + _PACK
        + """, moved as (
               delete from files_contents using there, pack where files_contents.file_id = there.file_id
               returning files_contents.file_id
           ), added as (
               insert into files_packed (file_id, pack_id, frame_start, frame_size, start)
               select entry.file_id, pack.id, entry.frame_start, entry.frame_size, entry.start
               from pack, moved join """
        + _ENTRIES
        + " using (file_id) returning file_id) select count(*) from added",
        etags=[etags[entry.file_id] for entry in new.entries],
        **new.parameters(),
    )


async def replace_pack(db: Connection, old_id: UUID, new: NewPack) -> int:
    """How many files are in the new pack now: those that were still in the old one."""
    return await fetch_value(
        db,
        _LOCKED
        + """, there as (
               select file_id from files_packed
               where pack_id = %(old_id)s::uuid and file_id in (select id from locked) for update
           ), """
        + _PACK
        + """, moved as (
               update files_packed set pack_id = pack.id, frame_start = entry.frame_start,
                                       frame_size = entry.frame_size, start = entry.start
               from pack, there join """
        + _ENTRIES
        + """ using (file_id) where files_packed.file_id = there.file_id returning files_packed.file_id
           ), marked as (
               update packs set replaced_at = utc_now(), has_lost_files = true from pack where packs.id = %(old_id)s::uuid
           ) select count(*) from moved""",
        old_id=old_id,
        **new.parameters(),
    )


async def delete_empty_packs(db: Connection) -> None:
    """Those that lost their last file, and those that were replaced a while ago."""
    await execute(
        db,
        """delete from packs where has_lost_files and not exists (select from files_packed where pack_id = packs.id)
           and (replaced_at is null or replaced_at < utc_now() - """
        + _READERS_NEED
        + ")",
    )


async def find_sparse_pack(db: Connection) -> Record | None:
    """A pack more than half of which is of files that are gone; of the others it is noted that they are not."""
    await execute(
        db,
        """update packs set has_lost_files = false where has_lost_files and replaced_at is null
           and exists (select from files_packed where pack_id = packs.id)
           and content_size <= 2 * (select coalesce(sum(files.size), 0) from files_packed
                                    join files on files.id = file_id where pack_id = packs.id)""",
    )
    return await fetch_row(
        db,
        """select packs.id, job_id, key, (select team_id from jobs where jobs.id = job_id) as team_id from packs where has_lost_files and replaced_at is null
           and exists (select from files_packed where pack_id = packs.id) order by id limit 1""",
    )


async def list_packed(db: Connection, pack_id: UUID) -> list[Record]:
    return await fetch_rows(
        db,
        """select file_id, frame_start, frame_size, start, files.size from files_packed join files on files.id = file_id
           where pack_id = %(pack_id)s::uuid order by frame_start, start""",
        pack_id=pack_id,
    )


async def forget_loss(db: Connection, pack_id: UUID) -> None:
    """It can't be helped; until more of its files go."""
    await execute(db, "update packs set has_lost_files = false where id = %(pack_id)s::uuid", pack_id=pack_id)
