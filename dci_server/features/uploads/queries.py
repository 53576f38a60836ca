# SPDX-License-Identifier: Apache-2.0
"""The SQL of uploads."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.uploads.model import MOST_OPEN, MOST_PIECES, NewUpload, Upload
from dci_server.foundation.database.connection import Connection, Record, execute, fetch_row, fetch_rows, fetch_value

# Since its last piece.
_LIFETIME: LiteralString = "interval '3 days'"
LAST_PIECE_AT: LiteralString = "uploads.expires_at - " + _LIFETIME
"""When something of an upload arrived last."""
# Renewed while the finisher lives; another may begin when it does not.
_LEASE: LiteralString = "interval '40 seconds'"
_IS_FREE: LiteralString = "(finisher_until is null or finisher_until < utc_now())"
_COLUMNS: LiteralString = (
    "id, team_id, job_id, jobstate_id, name, mime, md5, metadata, length, received, expires_at, file_id, actor_id"
)


def _upload(row: Record | None) -> Upload | None:
    return None if row is None else Upload(**dict(row))


async def find_upload(db: Connection, upload_id: UUID) -> Upload | None:
    return _upload(
        await fetch_row(
            db,
            "select " + _COLUMNS + " from uploads where id = %(id)s::uuid and expires_at > utc_now()",
            id=upload_id,
        )
    )


async def insert_upload(db: Connection, new: NewUpload, actor_id: UUID) -> Upload | None:
    """None when the team has as many open ones as it may have; two at the same moment may be one more."""
    return _upload(
        await fetch_row(
            db,
            """with target as (
                   select jobs.id, jobs.team_id from jobs
                   where jobs.id = coalesce(%(job_id)s::uuid, (select job_id from jobstates where id = %(jobstate_id)s::uuid))
               )
               insert into uploads (team_id, job_id, jobstate_id, name, mime, md5, metadata, length, actor_id, expires_at)
               select target.team_id, target.id, %(jobstate_id)s::uuid, %(name)s::text, %(mime)s::text, %(md5)s::text,
                      %(metadata)s::text, %(length)s::bigint, %(actor_id)s::uuid, utc_now() + """
            + _LIFETIME
            + """ from target
               where (select count(*) from uploads as open where open.team_id = target.team_id and open.file_id is null)
                     < %(most)s::integer
               returning """
            + _COLUMNS,
            job_id=new.announced.job_id,
            jobstate_id=new.announced.jobstate_id,
            name=new.announced.name,
            mime=new.announced.mime,
            md5=new.announced.md5,
            metadata=new.metadata,
            length=new.length,
            actor_id=actor_id,
            most=MOST_OPEN,
        )
    )


async def add_piece(db: Connection, upload_id: UUID, offset: int, size: int, key: str) -> Upload | None:
    """The upload with its new piece, whose announcement is taken back; None when another piece was first."""
    return _upload(
        await fetch_row(
            db,
            """with target as (
                   select id from uploads
                   where id = %(id)s::uuid and received = %(offset)s::bigint and file_id is null and expires_at > utc_now()
                     and pieces < %(most)s::integer
                   for update
               ), claimed as (
                   delete from objects_to_remove using target
                   where key = %(key)s::text and not_before > utc_now() returning key
               ), added as (
                   insert into uploads_pieces (upload_id, position, size, key)
                   select target.id, %(offset)s::bigint, %(size)s::bigint, claimed.key from target, claimed
               )
               update uploads set received = received + %(size)s::bigint, pieces = pieces + 1, expires_at = utc_now() + """
            + _LIFETIME
            + " from target, claimed where uploads.id = target.id returning uploads."
            + _COLUMNS.replace(", ", ", uploads."),
            id=upload_id,
            offset=offset,
            size=size,
            key=key,
            most=MOST_PIECES,
        )
    )


async def list_pieces(db: Connection, upload_id: UUID) -> list[Record]:
    return await fetch_rows(
        db,
        "select position, size, key from uploads_pieces where upload_id = %(id)s::uuid order by position",
        id=upload_id,
    )


async def begin_to_finish(db: Connection, upload_id: UUID, finisher: UUID) -> Upload | None:
    """The upload when all of it is there and nobody else makes the file of it."""
    return _upload(
        await fetch_row(
            db,
            "update uploads set finisher = %(finisher)s::uuid, finisher_until = utc_now() + "
            + _LEASE
            + " where id = %(id)s::uuid and received = length and file_id is null and "
            + _IS_FREE
            + " returning "
            + _COLUMNS,
            id=upload_id,
            finisher=finisher,
        )
    )


async def go_on_finishing(db: Connection, upload_id: UUID, finisher: UUID) -> None:
    await execute(
        db,
        "update uploads set finisher_until = utc_now() + "
        + _LEASE
        + " where id = %(id)s::uuid and finisher = %(finisher)s::uuid",
        id=upload_id,
        finisher=finisher,
    )


async def give_up_finishing(db: Connection, upload_id: UUID, finisher: UUID) -> None:
    await execute(
        db,
        """update uploads set finisher = null, finisher_until = null
           where id = %(id)s::uuid and finisher = %(finisher)s::uuid""",
        id=upload_id,
        finisher=finisher,
    )


async def give_up_all_finishing(db: Connection) -> None:
    """For the only server of a database, before it serves: whoever was at it is dead."""
    await execute(db, "update uploads set finisher = null, finisher_until = null where finisher is not null")


async def become_file(db: Connection, upload_id: UUID, finisher: UUID, file_id: UUID) -> bool:
    """Whether the upload is now that file; its pieces go."""
    return await fetch_value(
        db,
        """with done as (
               update uploads set file_id = %(file_id)s::uuid, finisher = null, finisher_until = null
               where id = %(id)s::uuid and finisher = %(finisher)s::uuid and file_id is null returning id
           ), gone as (
               delete from uploads_pieces using done where upload_id = done.id
           )
           select exists (select from done)""",
        id=upload_id,
        finisher=finisher,
        file_id=file_id,
    )


async def delete_upload(db: Connection, upload_id: UUID) -> None:
    """Its pieces with it, whose objects a trigger lists for removal."""
    await execute(db, "delete from uploads where id = %(id)s::uuid", id=upload_id)


async def delete_expired(db: Connection) -> None:
    await execute(db, "delete from uploads where expires_at <= utc_now() and " + _IS_FREE)


async def list_unfinished(db: Connection) -> list[UUID]:
    """All of them there, no file yet, and nobody at it."""
    rows = await fetch_rows(db, "select id from uploads where received = length and file_id is null and " + _IS_FREE)
    return [row["id"] for row in rows]
