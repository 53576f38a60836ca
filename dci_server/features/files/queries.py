# SPDX-License-Identifier: Apache-2.0
"""The SQL of files."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.files.model import Announcement, File
from dci_server.features.jobs.queries import FILE_COLUMNS, STATES, TOUCHED
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    execute,
    fetch_page,
    fetch_row,
)
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing
from dci_server.foundation.storage.removal import READERS_NEED, UNCLAIMED_FOR

COLUMNS: Columns = {
    "created_at": Column("files.created_at", "timestamp"),
    "etag": Column("files.etag", "text"),
    "id": Column("files.id", "uuid"),
    "job_id": Column("files.job_id", "uuid"),
    "jobstate_id": Column("files.jobstate_id", "uuid"),
    "md5": Column("files.md5", "text"),
    "mime": Column("files.mime", "text"),
    "name": Column("files.name", "text"),
    "size": Column("files.size", "integer"),
    "state": Column("files.state", "enum", members=STATES),
    "team_id": Column("files.team_id", "uuid"),
    "updated_at": Column("files.updated_at", "timestamp"),
}

_TARGET: LiteralString = """
with named as (
    select jobstates.id, jobstates.job_id from jobstates where jobstates.id = %(jobstate_id)s::uuid
), target as (
    select jobs.id, jobs.team_id, %(jobstate_id)s::uuid is null or exists (select from named) as jobstate_is_known,
           %(jobstate_id)s::uuid is null or exists (select from named where named.job_id = jobs.id) as jobstate_is_of_job,
           ("""

_FACTS: LiteralString = """) as is_changeable
    from jobs
    where jobs.id = coalesce(%(job_id)s::uuid, (select named.job_id from named)) and jobs.state <> 'archived'
), facts as (
    select %(job_id)s::uuid is null and not exists (select from named) as jobstate_is_missing,
           exists (select from target) as is_known,
           (select is_changeable from target) as is_changeable,
           (select jobstate_is_known from target) as jobstate_is_known,
           (select jobstate_is_of_job from target) as jobstate_is_of_job
)
"""

_ACCEPTABLE: LiteralString = "is_changeable and jobstate_is_known and jobstate_is_of_job"

_ANNOUNCE: LiteralString = (
    """, announced as (
    insert into objects_to_remove (key, not_before)
    select file_key(target.team_id, target.id, %(file_id)s::uuid), utc_now() + """
    + UNCLAIMED_FOR
    + " from target where "
    + _ACCEPTABLE
    + """ returning key
)
select facts.*, (select key from announced) as key from facts
"""
)

# One durable statement: the file, its bytes when they are few, and the job's sign that something hangs on it.
_CREATE: LiteralString = """created as (
    insert into files (id, name, mime, md5, sha256, size, job_id, jobstate_id, team_id)
    select %(file_id)s::uuid, %(name)s::text, %(mime)s::text, %(md5)s::text, %(sha256)s::text, %(size)s::bigint,
           target.id, %(jobstate_id)s::uuid, target.team_id
    from target where """

_CREATED: LiteralString = (
    """
    returning """
    + FILE_COLUMNS
    + """
), touched as (
    update jobs set
        etag = left(jobs.etag, 16) || right(new_etag(), 16),
        updated_at = utc_now(),
        duration = case when %(jobstate_id)s::uuid is null then jobs.duration
                   else round(extract(epoch from utc_now() - jobs.created_at))::integer end
    from created where jobs.id = created.job_id
)"""
)

_FILE: LiteralString = """
select facts.*, (select row_to_json(created) from created) as file from facts
"""

_IN_ITS_ROW: LiteralString = (
    ", "
    + _CREATE
    + _ACCEPTABLE
    + _CREATED
    + """, kept as (
    insert into files_contents (file_id, is_compressed, bytes)
    select created.id, %(is_compressed)s::boolean, %(bytes)s::bytea from created
)"""
    + _FILE
)

# It needs the announcement of its object, unexpired, and takes it back.
_IN_THE_STORE: LiteralString = (
    """, claimed as (
    delete from objects_to_remove using target
    where not_before > utc_now() and key = file_key(target.team_id, target.id, %(file_id)s::uuid) and """
    + _ACCEPTABLE
    + """
    returning key
), """
    + _CREATE
    + _ACCEPTABLE
    + " and exists (select from claimed)"
    + _CREATED
    + _FILE
)


async def find_target(db: Connection, announced: Announcement, changeable: Condition) -> Record:
    """What speaks for and against an upload, before its bytes are read."""
    row = await fetch_row(
        db,
        _TARGET + changeable.sql + _FACTS + "select * from facts",
        **changeable.params,
        job_id=announced.job_id,
        jobstate_id=announced.jobstate_id,
    )
    assert row is not None
    return row


async def announce_file(db: Connection, announced: Announcement, changeable: Condition, file_id: UUID) -> Record:
    """The same facts, and when nothing speaks against the upload, the key under which its bytes may be published now."""
    row = await fetch_row(
        db,
        _TARGET + changeable.sql + _FACTS.rstrip() + _ANNOUNCE,
        **changeable.params,
        job_id=announced.job_id,
        jobstate_id=announced.jobstate_id,
        file_id=file_id,
    )
    assert row is not None
    return row


async def insert_file(db: Connection, announced: Announcement, changeable: Condition, **stored: object) -> Record:
    """The same facts, and the file when nothing speaks against it. Without `bytes`, they have to be in the store."""
    insert = _IN_THE_STORE if stored["bytes"] is None else _IN_ITS_ROW
    row = await fetch_row(
        db,
        _TARGET + changeable.sql + _FACTS.rstrip() + insert,
        **changeable.params,
        job_id=announced.job_id,
        jobstate_id=announced.jobstate_id,
        name=announced.name,
        mime=announced.mime,
        **stored,
    )
    assert row is not None
    return row


async def find_same_file(db: Connection, announced: Announcement, sha256: str, changeable: Condition) -> UUID | None:
    """A file of the same job, name, kind and bytes, which it still has: a repeated upload of what can't be read (decision 40)."""
    row = await fetch_row(
        db,
        """select files.id from files join jobs on jobs.id = files.job_id
           where files.job_id = coalesce(%(job_id)s::uuid, (select job_id from jobstates where id = %(jobstate_id)s::uuid))
             and files.name = %(name)s::text and files.mime = %(mime)s::text and files.sha256 = %(sha256)s::text
             and files.jobstate_id is not distinct from %(jobstate_id)s::uuid
             and files.state <> 'archived' and jobs.state <> 'archived' and files.content_removed_at is null and """
        + changeable.sql
        + " order by files.created_at limit 1",
        **changeable.params,
        job_id=announced.job_id,
        jobstate_id=announced.jobstate_id,
        name=announced.name,
        mime=announced.mime,
        sha256=sha256,
    )
    return row["id"] if row else None


async def find_file(db: Connection, file_id: UUID) -> Record | None:
    """The file as JSON and as columns; whether its job is archived; its bytes when they are in the row, or its pack."""
    return await fetch_row(
        db,
        """select files.id, files.name, files.mime, files.size, files.etag, files.created_at, files.updated_at, files.team_id, files.job_id,
                  jobs.name as job_name, jobs.state = 'archived' as job_is_archived, files.content_removed_at,
                  contents.bytes, contents.is_compressed,
                  packs.key as pack_key, packed.frame_start, packed.frame_size, packed.start as frame_offset,
                  (select row_to_json(f) from (select """
        + FILE_COLUMNS
        + """ from files as same where same.id = files.id) as f) as file
           from files join jobs on jobs.id = files.job_id left join files_contents as contents on contents.file_id = files.id
                left join files_packed as packed on packed.file_id = files.id left join packs on packs.id = packed.pack_id
           where files.id = %(file_id)s::uuid and files.state <> 'archived'""",
        file_id=file_id,
    )


_REPLACE: LiteralString = (
    """) as is_changeable,
           exists (select from files_contents where files_contents.file_id = files.id)
           or exists (select from files_packed where files_packed.file_id = files.id) as is_small
    from files join jobs on jobs.id = files.job_id
    where files.id = %(file_id)s::uuid and files.state <> 'archived' and jobs.state <> 'archived'
), changed as (
    update files set size = %(size)s::bigint, md5 = %(md5)s::text, sha256 = %(sha256)s::text, etag = new_etag(),
                     updated_at = utc_now()
    from target
    where files.id = target.file_id and target.is_changeable and files.state <> 'archived'
      and files.etag = %(etag)s::text and files.content_removed_at is null
    returning files.*
), kept as (
    insert into files_contents (file_id, is_compressed, bytes)
    select changed.id, %(is_compressed)s::boolean, %(bytes)s::bytea from changed
    on conflict (file_id) do update set is_compressed = excluded.is_compressed, bytes = excluded.bytes
), removed as (
    insert into objects_to_remove (key, not_before)
    select file_key(changed.team_id, changed.job_id, changed.id), utc_now() + """
    + READERS_NEED
    + """ from changed, target
    where not target.is_small
), touched as (
    update jobs set """
)


async def replace_content(
    db: Connection, file_id: UUID, etag: str, changeable: Condition, **stored: object
) -> Json[File] | None:
    """The file with its new bytes, in its row wherever the old ones were; None when it is another one by now."""
    row = await fetch_row(
        db,
        "with target as (select files.id as file_id, ("
        + changeable.sql
        + _REPLACE
        + TOUCHED
        + " from changed where jobs.id = changed.job_id) select row_to_json(f) as file from (select "
        + FILE_COLUMNS
        + " from changed) as f",
        **changeable.params,
        file_id=file_id,
        etag=etag,
        **stored,
    )
    return None if row is None else Json(row["file"])


async def leave_pack(connection: Connection, file_id: UUID) -> None:
    """Of a file that got new content, in the statement after: it may have waited for the packer, and not see yet what that did."""
    await execute(connection, "delete from files_packed where file_id = %(file_id)s::uuid", file_id=file_id)


async def archive_file(db: Connection, file_id: UUID, changeable: Condition) -> Record:
    """Whether there is such a file and the caller may archive it; archived when both, and its job told."""
    row = await fetch_row(
        db,
        "with target as (select files.id, files.job_id, ("
        + changeable.sql
        + """) as is_allowed from files join jobs on jobs.id = files.job_id
             where files.id = %(file_id)s::uuid and files.state <> 'archived'
           ), archived as (
               update files set state = 'archived', etag = new_etag(), updated_at = utc_now()
               from target where files.id = target.id and target.is_allowed
           ), touched as (
               update jobs set """
        + TOUCHED
        + """ from target where jobs.id = target.job_id and target.is_allowed
           )
           select exists (select from target) as is_known,
                  coalesce((select is_allowed from target), false) as is_allowed""",
        **changeable.params,
        file_id=file_id,
    )
    assert row is not None
    return row


async def list_files(db: Connection, job_id: UUID, listing: Listing) -> Json[list[File]]:
    of_job = Condition("files.job_id = %(job_id)s::uuid and files.state <> 'archived'", {"job_id": job_id})
    select: LiteralString = "select " + FILE_COLUMNS
    return await fetch_page(db, File, "files", select, "files", of_job, listing)
