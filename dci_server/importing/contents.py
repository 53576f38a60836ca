# SPDX-License-Identifier: Apache-2.0
"""Brings the bytes of files over, from the source's store into ours: several at once, each hashed and measured.

A file whose `sha256` is null has its bytes still to come. Small ones go into the row, in the statement that says so; a
big one is published in the store first. Whatever a killed run had not yet written down is brought again. Nothing will
happen to an old job any more, so whoever brings its files says that the small ones can be packed, and that rules of
retention have to look at it.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from dci_server.features.files.model import MAX_INLINE_BYTES, packed
from dci_server.foundation.database.connection import Record, execute, fetch_row, fetch_rows, fetch_value
from dci_server.foundation.downloads import attachment
from dci_server.foundation.storage import ObjectMissing, Store, Upload
from dci_server.importing import target as progress_in
from dci_server.importing.progress import Progress
from dci_server.importing.steps import EXAMPLES
from dci_server.importing.target import Target

_AT_ONCE = 8
_PAGE = 256
_UNKNOWN_SIZE: LiteralString = "the size was 0 or empty: that of the object"
_OTHER_SIZE: LiteralString = "the object has another size than the row said: that of the object"


@dataclass(frozen=True)
class Kind:
    """Files of jobs, or of components."""

    name: LiteralString
    pending: LiteralString
    keep: LiteralString
    inline_bytes: int
    """Up to here the bytes go into the row; -1: never."""


@dataclass(frozen=True)
class Tally:
    """What is to be told of the files."""

    total: int
    pending: int
    pending_bytes: int
    examples: Sequence[str]


@dataclass(frozen=True)
class Brought:
    id: UUID
    sha256: str
    size: int
    content: bytes | None


# `place` is where the source has it, within its container; `key` where we do, within our store.
OF_JOBS = Kind(
    name="files",
    pending="""select id, name, size, team_id || '/' || job_id || '/' || id as place, 'files/' || team_id || '/' || job_id || '/' || id as key
               from files where sha256 is null and id > %(after)s::uuid order by id limit %(page)s::integer""",
    keep="""with brought as (
                select * from unnest(%(ids)s::uuid[], %(hashes)s::text[], %(sizes)s::bigint[], %(compressed)s::boolean[],
                                     %(contents)s::bytea[]) as b (id, sha256, size, is_compressed, bytes)
            ), kept as (
                insert into files_contents (file_id, is_compressed, bytes)
                select brought.id, brought.is_compressed, brought.bytes from brought join files on files.id = brought.id
                where brought.bytes is not null on conflict (file_id) do nothing
                returning file_id
            ), over as (
                insert into jobs_to_pack (job_id)
                select distinct files.job_id from kept join files on files.id = kept.file_id join jobs on jobs.id = files.job_id
                where jobs.status in ('success', 'failure', 'killed', 'error')
                on conflict (job_id) do update set quiet_since = excluded.quiet_since
            ), with_content as (
                insert into jobs_with_content (job_id)
                select distinct files.job_id from brought join files on files.id = brought.id join jobs on jobs.id = files.job_id
                where jobs.status in ('success', 'failure', 'killed', 'error')
                on conflict (job_id) do update set revision = 0)
            update files set sha256 = brought.sha256, size = brought.size from brought where files.id = brought.id""",
    inline_bytes=MAX_INLINE_BYTES,
)
OF_COMPONENTS = Kind(
    name="component_files",
    pending="""select id, name, size, substr(key, length('components/') + 1) as place, key
               from component_files where sha256 is null and id > %(after)s::uuid order by id limit %(page)s::integer""",
    keep="""update component_files set sha256 = brought.sha256, size = brought.size
            from unnest(%(ids)s::uuid[], %(hashes)s::text[], %(sizes)s::bigint[], %(compressed)s::boolean[],
                        %(contents)s::bytea[]) as brought (id, sha256, size, is_compressed, bytes)
            where component_files.id = brought.id""",
    inline_bytes=-1,
)


async def bring_contents(target: Target, kind: Kind, source: Store, ours: Store, progress: Progress) -> None:
    """Objects that are not there are passed over; another run looks for them again. Raises StoreUnavailable."""
    progress.begin(f"bytes of {kind.name}", (await tally(target, kind)).pending)
    free = asyncio.Semaphore(_AT_ONCE)
    after = UUID(int=0)
    while rows := await fetch_rows(target, kind.pending, after=after, page=_PAGE):
        brought = await _bring_page(rows, kind, source, ours, free)
        async with target.transaction():
            await _keep(target, kind, brought)
            await _note_sizes(target, kind, rows, brought)
        after = rows[-1]["id"]
        progress.advance(len(rows))
    progress.end()


async def _bring_page(
    rows: Sequence[Record], kind: Kind, source: Store, ours: Store, free: asyncio.Semaphore
) -> list[Brought]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_bring(row, kind, source, ours, free)) for row in rows]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [found for task in tasks if (found := task.result()) is not None]


async def _bring(row: Record, kind: Kind, source: Store, ours: Store, free: asyncio.Semaphore) -> Brought | None:
    """None when the source has lost it."""
    async with free:
        sha256, size, small = hashlib.sha256(), 0, bytearray()
        upload: Upload | None = None
        try:
            async for chunk in await source.read(row["place"]):
                sha256.update(chunk)
                size += len(chunk)
                if upload is not None:
                    await upload.write(chunk)
                    continue
                small += chunk
                if size > kind.inline_bytes:
                    upload = await ours.begin()
                    await upload.write(bytes(small))
                    small.clear()
            if upload is None and kind.inline_bytes < 0:
                upload = await ours.begin()
            if upload is not None:
                await upload.commit(row["key"], attachment(row["name"]))
        except ObjectMissing:
            return None
        finally:
            if upload is not None:
                await upload.abort()
        return Brought(row["id"], sha256.hexdigest(), size, None if upload is not None else bytes(small))


async def _keep(target: Target, kind: Kind, brought: Sequence[Brought]) -> None:
    if not brought:
        return
    contents = [(False, None) if one.content is None else packed(one.content) for one in brought]
    await execute(
        target,
        kind.keep,
        ids=[one.id for one in brought],
        hashes=[one.sha256 for one in brought],
        sizes=[one.size for one in brought],
        compressed=[is_compressed for is_compressed, _ in contents],
        contents=[content for _, content in contents],
    )


async def _note_sizes(target: Target, kind: Kind, rows: Sequence[Record], brought: Sequence[Brought]) -> None:
    said = {row["id"]: row["size"] for row in rows}
    unknown = [str(one.id) for one in brought if one.size and not said[one.id]]
    other = [str(one.id) for one in brought if said[one.id] and said[one.id] != one.size]
    if unknown:
        await progress_in.note(target, kind.name, "changed", _UNKNOWN_SIZE, len(unknown), unknown[:EXAMPLES])
    if other:
        await progress_in.note(target, kind.name, "changed", _OTHER_SIZE, len(other), other[:EXAMPLES])


async def tally(target: Target, kind: Kind) -> Tally:
    row = await fetch_row(
        target,
        "select count(*) as total, count(*) filter (where sha256 is null) as pending, "
        "coalesce(sum(size) filter (where sha256 is null), 0)::bigint as pending_bytes from " + kind.name,
    )
    assert row is not None
    examples: list[str] = await fetch_value(
        target,
        "select array(select id::text from " + kind.name + " where sha256 is null order by id limit %(most)s::integer)",
        most=EXAMPLES,
    )
    return Tally(row["total"], row["pending"], row["pending_bytes"], examples)
