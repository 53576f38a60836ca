# SPDX-License-Identifier: Apache-2.0
"""Small files move from their rows into packs when their job is over, and out of packs most of which is gone."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import structlog

from dci_server.features.packs import queries
from dci_server.features.packs.model import FEWEST_FILES, MOST_FILES, Entry, Frame, unpacked
from dci_server.foundation.database.connection import Connection, Record
from dci_server.foundation.errors import ApiError
from dci_server.foundation.storage import ObjectMissing, Store, Upload
from dci_server.foundation.storage.removal import announce_object, give_up_object

_PAGE = 100
"""Of at most 64 KiB each."""

log = structlog.get_logger("dci_server.packs")

Contents = AsyncIterator[tuple[UUID, bytes]]


async def read_packed(store: Store, file: Record) -> bytes:
    """A small file out of its pack. Raises ObjectMissing."""
    frame = b"".join(
        [chunk async for chunk in await store.read(file["pack_key"], file["frame_start"], file["frame_size"])]
    )
    return unpacked(frame)[file["frame_offset"] : file["frame_offset"] + file["size"]]


async def pack_next_job(db: Connection, store: Store, quiet_seconds: float) -> bool:
    """Whether there was a job that had been over and quiet for that long. Raises StoreUnavailable; then nothing has moved."""
    job = await queries.take_quiet_job(db, quiet_seconds)
    if job is None:
        return False
    has_more = False
    if job["is_over"] and await queries.count_inline(db, job["job_id"]) >= FEWEST_FILES:
        contents = _Inline(db, job["job_id"])
        new = await _write_pack(db, store, job, contents.read())
        has_more = await _take_over(db, new, await queries.insert_pack(db, new, contents.etags)) and contents.has_more
    if has_more:
        await queries.leave_quiet_job(db, job["job_id"])
    else:
        await queries.forget_quiet_job(db, job["job_id"], job["quiet_since"])
    return True


class _Inline:
    """The files of a job whose bytes are in their rows: as many as go into one pack."""

    def __init__(self, db: Connection, job_id: UUID) -> None:
        self._db = db
        self._job_id = job_id
        self.has_more = False
        self.etags: dict[UUID, str] = {}

    async def read(self) -> Contents:
        last: Record | None = None
        for _ in range(MOST_FILES // _PAGE):
            rows = await queries.list_inline(self._db, self._job_id, last, _PAGE)
            for row in rows:
                self.etags[row["id"]] = row["etag"]
                yield row["id"], zlib.decompress(row["bytes"]) if row["is_compressed"] else row["bytes"]
            if len(rows) < _PAGE:
                return
            last = rows[-1]
        self.has_more = True


async def tidy_packs(db: Connection, store: Store) -> None:
    """Packs without files go; those more than half of which is gone are written anew."""
    await queries.delete_empty_packs(db)
    while (sparse := await queries.find_sparse_pack(db)) is not None:
        try:
            new = await _write_pack(db, store, sparse, _read_pack(db, store, sparse))
            await _take_over(db, new, await queries.replace_pack(db, sparse["id"], new))
        except ObjectMissing:
            log.error("the store has lost a pack", pack_id=str(sparse["id"]))
            await queries.forget_loss(db, sparse["id"])


async def _read_pack(db: Connection, store: Store, pack: Record) -> Contents:
    """What is left of it, frame by frame."""
    frame_start, frame = -1, b""
    for row in await queries.list_packed(db, pack["id"]):
        if row["frame_start"] != frame_start:
            frame_start = row["frame_start"]
            chunks = await store.read(pack["key"], frame_start, row["frame_size"])
            frame = unpacked(b"".join([chunk async for chunk in chunks]))
        yield row["file_id"], frame[row["start"] : row["start"] + row["size"]]


async def _write_pack(db: Connection, store: Store, job: Record, contents: Contents) -> queries.NewPack:
    """An object with the files in it, which is announced, and no pack yet."""
    pack_id = uuid4()
    key = f"packs/{job['team_id']}/{job['job_id']}/{pack_id}"
    upload = await store.begin()
    try:
        writer = _Writer(upload)
        async for file_id, content in contents:
            await writer.add(file_id, content)
        await writer.finish()
        await announce_object(db, key)
        try:
            await upload.commit(key)
        except ApiError:
            await give_up_object(db, key)
            raise
    finally:
        await upload.abort()
    return queries.NewPack(pack_id, job["job_id"], key, upload.size, writer.content_size, writer.entries)


async def _take_over(db: Connection, new: queries.NewPack, moved: int) -> bool:
    """Whether files are in the pack now: somebody else may have been quicker, or all of them may be gone."""
    if not moved:
        await give_up_object(db, new.key)
        return False
    log.info(
        "files were packed",
        job_id=str(new.job_id),
        files=moved,
        content_bytes=new.content_size,
        stored_bytes=new.size,
    )
    return True


class _Writer:
    """Frames, one after the other."""

    def __init__(self, upload: Upload) -> None:
        self.entries: list[Entry] = []
        self.content_size = 0
        self._upload = upload
        self._frame = Frame()

    async def add(self, file_id: UUID, content: bytes) -> None:
        if not self._frame.has_room_for(content):
            await self.finish()
        self._frame.add(file_id, content)
        self.content_size += len(content)

    async def finish(self) -> None:
        frame, self._frame = self._frame, Frame()
        if frame.starts:
            compressed = await asyncio.to_thread(frame.compressed)
            self.entries += frame.entries(self._upload.size, len(compressed))
            await self._upload.write(compressed)
