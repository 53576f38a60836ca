# SPDX-License-Identifier: Apache-2.0
"""Buckets of S3, Google and Azure.

The bytes wait in an unnamed local file until the commit, because the key is known only then, because they may have to
be read first, and because nothing must reach the bucket before the signature has matched. The alternative, a multipart
upload under a temporary key, would have to become visible there, be copied and be deleted. The price is local space
for the uploads under way (`TMPDIR`).

A process killed within the commit of more than 5 MiB can leave parts of a multipart upload, which no key shows and which
the library can't list: `doctor` and the README tell who runs the bucket to have it remove them.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from dci_server.foundation.storage.store import (
    LISTED_AT_ONCE,
    MIB,
    TEMPORARY,
    Entry,
    ObjectMissing,
    Stat,
    StoreUnavailable,
    StoreUrlError,
    pieces,
    require_valid_key,
)
from dci_server.foundation.storage.upload import Spool, SpooledUpload

if TYPE_CHECKING:
    from obstore import Attribute, Attributes, GetOptions, GetResult
    from obstore.store import AzureConfig, ClientConfig, RetryConfig, S3Config

PLACE = "the object store"
TEMPORARY_DIRECTORY = "the server's temporary directory"
PROBE = b"dci-server was here"
# S3 allows no smaller ones, and 10,000.
SMALLEST_PART = 5 * MIB
MOST_PARTS = 9_000
PARTS_AT_ONCE = 2
PUBLISHED_AT_ONCE = ((SMALLEST_PART, 4), (128 * MIB, 2), (None, 2))
"""How many objects of at most this size: each takes memory for one part more than it sends at once, and a small one must not
wait for a huge one."""
# Whoever is sent to the bucket gets these: bytes without a meaning, which no cache keeps.
_OF_EVERY_OBJECT: Mapping["Attribute", str] = {
    "Content-Type": "application/octet-stream",
    "Cache-Control": "private, no-store",
}
SECONDS_TO_ANSWER_A_PROBE = 10
SECONDS_FOR_AN_ANSWER = 60
"""From a request to the last byte of its answer. What is sent is of 5 MiB or so at most; a longer answer is asked for
again, from where it stopped."""
_OUT_OF_RANGE = ("status code: 416", "Wanted range starting at")
"""The library has no error of its own for what the service refuses, nor for what it should have refused."""
_TOO_SHORT = "a file in the file store is shorter than it was: restore it from a backup"


def open_bucket(scheme: str, bucket: str, prefix: str, options: Mapping[str, str]) -> "BucketStore":
    try:
        return BucketStore(OPENERS[scheme](bucket, prefix or None, options))
    except BaseError as error:
        reason = str(error).partition("\n")[0]
        raise StoreUrlError(f"the {scheme}:// file store cannot be used: {reason}") from error


def _open_s3(bucket: str, prefix: str | None, options: Mapping[str, str]) -> ObjectStore:
    config: S3Config = {}
    is_virtual = options.get("style") == "virtual"
    if "endpoint" in options:
        config["endpoint"] = options["endpoint"]
        if is_virtual:
            # The library wants the bucket in it; people know the address of the service.
            config["endpoint"] = options["endpoint"].replace("://", f"://{bucket}.", 1)
    if is_virtual:
        config["virtual_hosted_style_request"] = True
    if "region" in options:
        config["region"] = options["region"]
    return S3Store(bucket, prefix=prefix, config=config, client_options=_client(options), retry_config=RETRY)


def _open_google(bucket: str, prefix: str | None, options: Mapping[str, str]) -> ObjectStore:
    return GCSStore(bucket, prefix=prefix, client_options=_client(options), retry_config=RETRY)


def _open_azure(container: str, prefix: str | None, options: Mapping[str, str]) -> ObjectStore:
    config: AzureConfig = {"endpoint": options["endpoint"]} if "endpoint" in options else {}
    return AzureStore(container, prefix=prefix, config=config, client_options=_client(options), retry_config=RETRY)


def _client(options: Mapping[str, str]) -> "ClientConfig":
    return {
        "allow_http": options.get("endpoint", "").startswith("http://"),
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=SECONDS_FOR_AN_ANSWER),
    }


RETRY: "RetryConfig" = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}
OPENERS: Mapping[str, Callable[[str, str | None, Mapping[str, str]], ObjectStore]] = {
    "s3": _open_s3,
    "gs": _open_google,
    "az": _open_azure,
}


class BucketStore:
    def __init__(self, bucket: ObjectStore) -> None:
        self._bucket = bucket
        self._turns = [(largest, asyncio.Semaphore(at_once)) for largest, at_once in PUBLISHED_AT_ONCE]

    async def begin(self) -> "BucketUpload":
        return BucketUpload(self._bucket, self._turn_of)

    def _turn_of(self, size: int) -> asyncio.Semaphore:
        return next(turns for largest, turns in self._turns if largest is None or size <= largest)

    def begin_notes(self) -> "BucketNotes":
        return BucketNotes()

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        require_valid_key(key)
        if length == 0:
            return await self._nothing(key)
        try:
            opened = await _open(self._bucket, key, start, None if length is None else start + length)
        except _BeyondTheEnd:
            return await self._nothing(key)
        return _read_on(self._bucket, key, opened)

    async def _nothing(self, key: str) -> AsyncIterator[bytes]:
        """Of an object that is there."""
        if await self.stat(key) is None:
            raise ObjectMissing
        return _no_bytes()

    async def size(self, key: str) -> int | None:
        found = await self.stat(key)
        return None if found is None else found.size

    async def stat(self, key: str) -> Stat | None:
        require_valid_key(key)
        try:
            with unavailable_when_it_fails():
                found = await obstore.head_async(self._bucket, key)
        except ObjectMissing:
            return None
        etag = (found["e_tag"] or found["last_modified"].isoformat()).strip('"')
        return Stat(found["size"], found["last_modified"], etag)

    async def presign(self, method: str, key: str, seconds: int) -> str | None:
        require_valid_key(key)
        if not isinstance(self._bucket, S3Store | GCSStore | AzureStore):
            return None
        # Azure signs what may be done, not the method: there is no word for HEAD, and reading includes it.
        signed = "HEAD" if method == "HEAD" and not isinstance(self._bucket, AzureStore) else "GET"
        with unavailable_when_it_fails():
            return await obstore.sign_async(self._bucket, signed, key, expires_in=timedelta(seconds=seconds))

    async def delete(self, key: str) -> None:
        require_valid_key(key)
        await _delete(self._bucket, key)

    async def check(self) -> None:
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER_A_PROBE):
                await _probe(self._bucket)
        except TimeoutError as error:
            raise StoreUnavailable(f"{PLACE} does not answer: check its endpoint and the network") from error

    async def entries(self, prefix: str) -> AsyncIterator[list[Entry]]:
        with unavailable_when_it_fails():
            # The stub names a type of a package that is not needed at run time.
            listed = obstore.list(self._bucket, prefix, chunk_size=LISTED_AT_ONCE)  # pyright: ignore[reportUnknownMemberType]
            async for found in listed:
                yield [Entry(entry["path"], entry["size"]) for entry in found]

    async def sweep(self, older_than: timedelta) -> int:
        """Only probes can be left behind: an upload is in the bucket when it is whole, or not at all."""
        oldest = datetime.now(UTC) - older_than
        removed = 0
        with unavailable_when_it_fails():
            # The stub names a type of a package that is not needed at run time.
            listed = obstore.list(self._bucket, TEMPORARY)  # pyright: ignore[reportUnknownMemberType]
            async for found in listed:
                abandoned = [entry["path"] for entry in found if entry["last_modified"] <= oldest]
                removed += len(abandoned)
                for path in abandoned:
                    await _delete(self._bucket, path)
        return removed


class BucketUpload(SpooledUpload):
    place = TEMPORARY_DIRECTORY

    def __init__(self, bucket: ObjectStore, turn_of: Callable[[int], asyncio.Semaphore]) -> None:
        super().__init__()
        self._bucket = bucket
        self._turn_of = turn_of

    def _open_file(self) -> int:
        return _unnamed_file()

    def _remove_file(self) -> None:
        """It never had a name for longer than a moment."""

    async def _publish(self, tail: bytearray, key: str, disposition: str | None) -> None:
        described: Attributes = dict(_OF_EVERY_OBJECT)
        if disposition is not None:
            described["Content-Disposition"] = disposition
        try:
            is_in_a_file = self.size != len(tail)
            if is_in_a_file:
                with unavailable_when_it_fails():
                    await asyncio.to_thread(self._append, tail)
                tail.clear()
            async with self._turn_of(self.size):
                with unavailable_when_it_fails():
                    if is_in_a_file:
                        await self._publish_file(key, described)
                    else:
                        await _put(self._bucket, key, bytes(tail), described)
        finally:
            await asyncio.to_thread(self._discard)

    async def _publish_file(self, key: str, described: "Attributes") -> None:
        if self.size <= SMALLEST_PART:
            # One request, where parts take three.
            whole = b"".join([piece async for piece in pieces(self._read_at, 0, self.size, self.size)])
            await _put(self._bucket, key, whole, described)
            return
        part = max(SMALLEST_PART, -(-self.size // MOST_PARTS))
        content = pieces(self._read_at, 0, self.size, MIB)
        await _put(self._bucket, key, content, described, in_parts=self.size > SMALLEST_PART, part=part)

    async def _withdraw(self, key: str) -> None:
        await _delete(self._bucket, key)


class BucketNotes(Spool):
    place = TEMPORARY_DIRECTORY

    def _open_file(self) -> int:
        return _unnamed_file()

    def _remove_file(self) -> None:
        """It never had a name for longer than a moment."""


def _unnamed_file() -> int:
    descriptor, path = tempfile.mkstemp(prefix="dci-upload-")
    Path(path).unlink()
    return descriptor


class _BeyondTheEnd(StoreUnavailable):
    """The object has no byte of what was asked for."""


async def _open(bucket: ObjectStore, key: str, start: int, end: int | None, etag: str | None = None) -> "GetResult":
    """One request: its answer says how large the object is, and the bytes follow as they are asked for."""
    options: GetOptions = {}
    if end is not None:
        options["range"] = (start, end)
    elif start:
        # All of it is asked for without a range: nothing has no first byte.
        options["range"] = {"offset": start}
    if etag is not None:
        options["if_match"] = etag
    with unavailable_when_it_fails():
        try:
            return await obstore.get_async(bucket, key, options=options)
        except BaseError as error:
            if any(words in str(error) for words in _OUT_OF_RANGE):
                raise _BeyondTheEnd(_TOO_SHORT) from error
            raise


async def _read_on(bucket: ObjectStore, key: str, opened: "GetResult") -> AsyncIterator[bytes]:
    """To the end, in one request unless that breaks off: a slow reader holds it open until its time is over."""
    position, end = opened.range
    etag = opened.meta["e_tag"]
    while position < end:
        began = position
        try:
            with unavailable_when_it_fails():
                async for chunk in opened.stream(min_chunk_size=MIB):
                    position += len(chunk)
                    yield chunk
        except StoreUnavailable:
            if position == began:
                raise
        if began < position < end:
            opened = await _open(bucket, key, position, end, etag)
        elif position == began:
            raise StoreUnavailable(_TOO_SHORT)


async def _no_bytes() -> AsyncIterator[bytes]:
    return
    yield b""


async def _put(
    bucket: ObjectStore,
    key: str,
    content: bytes | AsyncIterator[bytes],
    described: "Attributes",
    *,
    in_parts: bool = False,
    part: int = SMALLEST_PART,
) -> None:
    try:
        await obstore.put_async(
            bucket, key, content, attributes=described, use_multipart=in_parts, chunk_size=part,
            max_concurrency=PARTS_AT_ONCE,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise StoreUnavailable(f"{PLACE} has no such bucket: create it, or correct the address") from error


async def _probe(bucket: ObjectStore) -> None:
    path = f"{TEMPORARY}/{uuid4()}"
    with unavailable_when_it_fails():
        await _put(bucket, path, PROBE, {})
        found = bytes(await obstore.get_range_async(bucket, path, start=0, end=len(PROBE)))
        await obstore.delete_async(bucket, path)
    if found != PROBE:
        raise StoreUnavailable(f"{PLACE} does not give back what was written to it: check the service")


async def _delete(bucket: ObjectStore, path: str) -> None:
    try:
        with unavailable_when_it_fails():
            await obstore.delete_async(bucket, path)
    except ObjectMissing:
        return


@contextmanager
def unavailable_when_it_fails() -> Generator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StoreUnavailable(f"{PLACE} refuses the server: check its credentials and what they may do") from error
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"{PLACE} does not work: check its address, its region and the network") from error
