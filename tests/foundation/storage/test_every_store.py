# SPDX-License-Identifier: Apache-2.0
"""What a feature may rely on, whatever keeps the bytes."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from dci_server.foundation.storage import InvalidKey, ObjectMissing, Store, open_store
from tests.azure import Azure
from tests.s3 import S3

MIB = 1024 * 1024
KEY = "files/blue/job/log"
LENGTHS = [0, 1, MIB - 1, MIB, MIB + 1, 9 * MIB + 3]


@pytest.fixture(params=["directory", "s3", "azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "directory":
        return open_store(str(tmp_path / "store"))
    service: S3 | Azure = request.getfixturevalue(request.param)
    for name, value in service.credentials.items():
        monkeypatch.setenv(name, value)
    return open_store(service.url(uuid4().hex))


async def put(store: Store, key: str, content: bytes) -> None:
    upload = await store.begin()
    await upload.write(content)
    await upload.commit(key)


async def content_of(store: Store, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([piece async for piece in await store.read(key, start, length)])


async def test_a_committed_object_is_read_back(store: Store) -> None:
    for length in LENGTHS:
        content = os.urandom(length)

        await put(store, KEY, content)

        assert await content_of(store, KEY) == content
        assert await store.size(KEY) == length


async def test_an_object_is_described(store: Store) -> None:
    await put(store, KEY, b"before")
    before = await store.stat(KEY)
    await put(store, KEY, b"afterwards")
    after = await store.stat(KEY)

    assert before is not None
    assert after is not None
    assert (before.size, after.size) == (6, 10)
    assert before.etag != after.etag
    assert before.modified <= after.modified
    assert await store.stat("files/other") is None


async def test_many_small_chunks_make_one_object(store: Store) -> None:
    chunks = [bytes([number % 256]) * 50_000 for number in range(100)]
    upload = await store.begin()

    for chunk in chunks:
        await upload.write(chunk)
    await upload.commit(KEY)

    assert await content_of(store, KEY) == b"".join(chunks)
    assert upload.size == 5_000_000


async def test_an_upload_is_read_back_before_its_commit(store: Store) -> None:
    for length in LENGTHS:
        content = os.urandom(length)
        upload = await store.begin()
        await upload.write(content)

        seen = b"".join([piece async for piece in upload.read()])
        await upload.write(b"more")
        seen_again = b"".join([piece async for piece in upload.read()])
        await upload.commit(KEY)

        assert seen == content
        assert seen_again == content + b"more"
        assert await content_of(store, KEY) == content + b"more"


async def test_nothing_is_visible_before_the_commit(store: Store) -> None:
    upload = await store.begin()

    await upload.write(b"x" * 3 * MIB)

    assert await store.size(KEY) is None
    await upload.abort()


@pytest.mark.parametrize("length", [0, 5, 3 * MIB])
async def test_an_aborted_upload_is_over(store: Store, length: int) -> None:
    upload = await store.begin()
    await upload.write(b"x" * length)

    await upload.abort()
    await upload.abort()

    with pytest.raises(RuntimeError):
        await upload.write(b"x")
    with pytest.raises(RuntimeError):
        await upload.commit(KEY)
    assert await store.size(KEY) is None


async def test_an_abort_after_the_commit_changes_nothing(store: Store) -> None:
    upload = await store.begin()
    await upload.write(b"kept")
    await upload.commit(KEY)

    await upload.abort()

    assert await content_of(store, KEY) == b"kept"


@pytest.mark.parametrize("turns", range(4))
async def test_an_abort_takes_back_a_commit_whose_caller_was_cancelled(store: Store, turns: int) -> None:
    upload = await store.begin()
    await upload.write(b"x" * 2 * MIB)
    committing = asyncio.ensure_future(upload.commit(KEY))
    for _ in range(turns):
        await asyncio.sleep(0)

    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await upload.abort()

    assert await store.size(KEY) is None


async def test_a_cancelled_write_does_not_disturb_the_abort(store: Store) -> None:
    upload = await store.begin()
    writing = asyncio.ensure_future(upload.write(b"x" * 8 * MIB))
    await asyncio.sleep(0)

    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await upload.abort()

    with pytest.raises(RuntimeError):
        await upload.write(b"x")


RANGES = [(0, 0), (0, 1), (3, 4), (5, None), (9, 100), (10, None), (10, 1), (11, 5), (2 * MIB, MIB), (0, 10 * MIB)]


async def test_a_range_is_what_a_slice_is(store: Store) -> None:
    short, long = b"0123456789", os.urandom(5 * MIB)
    await put(store, "short", short)
    await put(store, "long", long)

    for start, length in RANGES:
        end = None if length is None else start + length

        assert await content_of(store, "short", start, length) == short[start:end]
        assert await content_of(store, "long", start, length) == long[start:end]


async def test_a_missing_object_is_known_before_the_first_byte(store: Store) -> None:
    with pytest.raises(ObjectMissing):
        await store.read(KEY)
    with pytest.raises(ObjectMissing):
        await store.read(KEY, 3, 4)
    assert await store.size(KEY) is None


async def test_deleting_twice_is_fine(store: Store) -> None:
    await put(store, KEY, b"x")

    await store.delete(KEY)
    await store.delete(KEY)

    assert await store.size(KEY) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../outside",
        "a/../../outside",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "tmp/x",
        "tmp",
        "a" * 256,
        "é" * 128,
        "/".join(["a" * 200] * 6),
        "\ud800",
    ],
)
async def test_a_key_that_could_escape_is_refused_everywhere(store: Store, key: str) -> None:
    upload = await store.begin()
    await upload.write(b"x")

    with pytest.raises(InvalidKey):
        await upload.commit(key)
    with pytest.raises(InvalidKey):
        await store.read(key)
    with pytest.raises(InvalidKey):
        await store.size(key)
    with pytest.raises(InvalidKey):
        await store.delete(key)
    await upload.abort()


@pytest.mark.parametrize("key", ["a b/ü", "a/..b", "a/%2e%2e", "a\\b", "a/*?", "日" * 80])
async def test_an_unusual_key_is_an_ordinary_one(store: Store, key: str) -> None:
    await put(store, key, b"x")

    assert await content_of(store, key) == b"x"


async def test_a_working_store_passes_its_check_and_is_left_clean(store: Store) -> None:
    await store.check()

    assert await store.sweep(timedelta(days=-1)) == 0
