# SPDX-License-Identifier: Apache-2.0
"""What happens when pieces arrive: each is durable before it is acknowledged; the last one makes the file."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TypeVar
from uuid import UUID, uuid4

from dci_server.features.files.actions import InvalidContent, keep_file, require_target
from dci_server.features.files.model import MAX_INLINE_BYTES
from dci_server.features.jobs.access import changeable_by
from dci_server.features.uploads import access, queries
from dci_server.features.uploads.model import MOST_OPEN, MOST_PIECES, Checksum, NewUpload, Upload
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.database.sql import EVERYTHING
from dci_server.foundation.errors import ApiError, Conflict, Locked, NotFound, TooLarge, TooManyAttempts, Unavailable
from dci_server.foundation.events.actor import doing_of
from dci_server.foundation.http import Call, ClientDisconnected, Services
from dci_server.foundation.receiving import Received
from dci_server.foundation.storage import Upload as Unseen
from dci_server.foundation.storage.removal import announce_object, give_up_object

T = TypeVar("T")

_SECONDS_BETWEEN_RENEWALS = 10.0
_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_UNTIL_SOME_ENDED = 60.0


class _SomebodyElseIsAtIt(Unavailable):
    """The lease ran out while the file was being made: who took it makes the file."""

    def __init__(self) -> None:
        super().__init__("the file took too long on its way to the store; ask again in a while")


async def open_upload(call: Call, new: NewUpload, checksum: Checksum | None, *, has_piece: bool) -> Upload:
    """With the first piece in the same request, or without."""
    changeable = changeable_by(call.caller)
    _, refusal = await _unless_refused(call, require_target(call.db, new.announced, changeable))
    pieces = _Pieces(call.services, uuid4(), 0, new.length, checksum)
    try:
        async for chunk in call.stream():
            if refusal is None and has_piece:
                await pieces.write(chunk)
        if refusal is not None:
            raise refusal
        pieces.require_checksum()
        upload = await queries.insert_upload(call.db, new, call.caller.id)
        if upload is None:
            # Those of a job that was archived at this moment are looked at again when the file is made.
            raise TooManyAttempts(
                f"the team has {MOST_OPEN} unfinished uploads: finish or end some of them",
                retry_after=_SECONDS_UNTIL_SOME_ENDED,
            )
        pieces.upload_id = upload.id
        return await pieces.keep() or upload
    finally:
        await pieces.abort()


async def append(call: Call, upload_id: UUID, offset: int, checksum: Checksum | None) -> Upload:
    """The bytes of one request, from `offset` on.

    What a broken request has brought is kept, unless it is to be proven at its end: by a signature or a checksum.
    """
    proven_at_the_end = checksum is not None or not call.authentication.is_certain
    upload, refusal = await _unless_refused(call, _require_next(call, upload_id, offset))
    pieces = _Pieces(call.services, upload_id, offset, 0 if upload is None else upload.length, checksum)
    if upload is not None and not proven_at_the_end:
        pieces.keep_at = upload.piece_bytes
    try:
        async for chunk in call.stream():
            if refusal is None:
                await pieces.write(chunk)
        if refusal is not None:
            raise refusal
        pieces.require_checksum()
        kept = await pieces.keep()
    except ClientDisconnected:
        if not proven_at_the_end:
            await pieces.keep()
        raise
    finally:
        await pieces.abort()
    assert upload is not None
    return kept or pieces.kept or upload


async def _require_next(call: Call, upload_id: UUID, offset: int) -> Upload:
    upload = await access.require_usable(call.db, call.caller, upload_id)
    if offset != upload.received:
        raise _wrong_offset()
    announced = int(call.headers.get("content-length", "0"))
    if offset + announced > upload.length:
        raise _too_long(upload.length)
    return upload


async def _unless_refused(call: Call, looking: Awaitable[T]) -> tuple[T | None, ApiError | None]:
    """A signature is not proven yet: its sender learns the reason at the end only."""
    try:
        return await looking, None
    except ApiError as error:
        if call.authentication.is_certain:
            raise
        return None, error


def _wrong_offset() -> Conflict:
    return Conflict("Upload-Offset is not where the upload is: ask for its offset (HEAD) and continue there")


def _too_long(length: int) -> TooLarge:
    return TooLarge(f"the bytes go beyond the {length} that Upload-Length announced")


class _Pieces:
    """Of one request: mostly one; several of a long request that needs no proof at its end."""

    def __init__(
        self, services: Services, upload_id: UUID, offset: int, length: int, checksum: Checksum | None
    ) -> None:
        self.upload_id = upload_id
        self.keep_at: int | None = None
        self.kept: Upload | None = None
        self._services = services
        self._offset = offset
        self._length = length
        self._checksum = checksum
        self._digest = None if checksum is None else checksum.start()
        self._piece: Unseen | None = None

    async def write(self, chunk: bytes) -> None:
        if self._piece is None:
            self._piece = await self._services.store.begin()
        if self._offset + self._piece.size + len(chunk) > self._length:
            raise _too_long(self._length)
        await self._piece.write(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        if self.keep_at is not None and self._piece.size >= self.keep_at:
            await self.keep()

    def require_checksum(self) -> None:
        if self._checksum is not None and self._digest is not None:
            self._checksum.require(self._digest)

    async def keep(self) -> Upload | None:
        """What was written is durable, then counted; the upload as it is now, None when there was nothing to keep."""
        if self._piece is None:
            return None
        db, key = self._services.db, f"uploads/{self.upload_id}/{uuid4()}"
        await announce_object(db, key)
        try:
            await self._piece.commit(key)
            self.kept = await queries.add_piece(db, self.upload_id, self._offset, self._piece.size, key)
            if self.kept is None:
                raise await self._refusal(db)
        except ApiError:
            await give_up_object(db, key)
            raise
        self._offset += self._piece.size
        self._piece = None
        return self.kept

    async def _refusal(self, db: Connection) -> ApiError:
        """Why there was no place for the piece."""
        upload = await queries.find_upload(db, self.upload_id)
        if upload is None:
            return NotFound("upload")
        if upload.received != self._offset:
            return _wrong_offset()
        return TooLarge(f"a file has at most {MOST_PIECES} pieces: begin again, and send bigger ones")

    async def abort(self) -> None:
        if self._piece is not None:
            await self._piece.abort()


async def finish(services: Services, upload_id: UUID, *, patience: float = 0) -> UUID:
    """The file of an upload that is whole. Raises what speaks against it, and Locked while somebody else makes it: after
    `patience` seconds, because not every client knows that it is to ask again."""
    finisher = uuid4()
    end = monotonic() + patience
    while (upload := await queries.begin_to_finish(services.db, upload_id, finisher)) is None:
        found = await queries.find_upload(services.db, upload_id)
        if found is None:
            raise NotFound("upload")
        if found.file_id is not None:
            return found.file_id
        if monotonic() >= end:
            raise Locked("the file is being made of its pieces; ask again in a while")
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    try:
        async with _renewing(services.db, upload_id, finisher):
            return await _make_file(services, upload, finisher)
    except InvalidContent:
        # It is kept as a file all the same.
        raise
    except Unavailable:
        await queries.give_up_finishing(services.db, upload_id, finisher)
        raise
    except ApiError:
        # It would be refused again: no such job any more, other bytes than its MD5 says.
        await queries.delete_upload(services.db, upload_id)
        raise


async def _make_file(services: Services, upload: Upload, finisher: UUID) -> UUID:
    made: list[UUID] = []

    async def claim(db: Connection, file_id: UUID) -> None:
        if not await queries.become_file(db, upload.id, finisher, file_id):
            raise _SomebodyElseIsAtIt
        made.append(file_id)

    received = await _put_together(services, upload)
    try:
        # Whoever sent the last piece was allowed to: the rule has been asked, and the job is looked at once more.
        allowed = EVERYTHING if upload.actor_id is None else doing_of(upload.actor_id)
        await keep_file(services, allowed, upload.announced, received, claim)
    finally:
        await received.abort()
    return made[0]


async def _put_together(services: Services, upload: Upload) -> Received:
    sha256 = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False) if upload.md5 is not None else None
    digests = [sha256.update] if md5 is None else [sha256.update, md5.update]
    whole = await services.store.begin() if upload.length > MAX_INLINE_BYTES else None
    small = bytearray()
    try:
        for piece in await queries.list_pieces(services.db, upload.id):
            async for chunk in await services.store.read(piece["key"], 0, piece["size"]):
                hashing = asyncio.ensure_future(asyncio.to_thread(_update, digests, chunk))
                try:
                    if whole is None:
                        small += chunk
                    else:
                        await whole.write(chunk)
                finally:
                    await hashing
    except BaseException:
        if whole is not None:
            await whole.abort()
        raise
    size = upload.length
    return Received(sha256.hexdigest(), None if md5 is None else md5.hexdigest(), size, bytes(small), whole)


def _update(digests: Sequence[Callable[[bytes], None]], chunk: bytes) -> None:
    for update in digests:
        update(chunk)


@asynccontextmanager
async def _renewing(db: Connection, upload_id: UUID, finisher: UUID) -> AsyncGenerator[None]:
    async def renew() -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_RENEWALS)
            # A database that is away for a moment: the next time, or never.
            with suppress(OSError, TimeoutError):
                await queries.go_on_finishing(db, upload_id, finisher)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
