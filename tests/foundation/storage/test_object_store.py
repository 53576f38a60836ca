# SPDX-License-Identifier: Apache-2.0

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
from obstore.store import MemoryStore

from dci_server.foundation.storage import Store, StoreUnavailable, open_store
from dci_server.foundation.storage.object_store import BucketStore
from tests.s3 import S3

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")


@asynccontextmanager
async def store_that_answers(answer: bytes | None) -> AsyncGenerator[Store]:
    """The same answer to everything; None says nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            if answer is not None:
                writer.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\n\r\n" % answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield open_store(f"s3://bucket?endpoint=http://127.0.0.1:{server.sockets[0].getsockname()[1]}&region=here")
    finally:
        server.close()


async def test_the_local_file_of_a_big_upload_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    upload = await BucketStore(MemoryStore()).begin()

    await upload.write(b"x" * 3 * MIB)

    assert list(tmp_path.iterdir()) == []
    await upload.abort()


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
async def test_wrong_credentials_are_told_and_nothing_is_kept(
    s3: S3, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name, value in {**s3.credentials, variable: "wrong"}.items():
        monkeypatch.setenv(name, value)
    prefix = uuid4().hex
    upload = await open_store(s3.url(prefix)).begin()
    await upload.write(b"x")

    with pytest.raises(StoreUnavailable, match="check its credentials"):
        await open_store(s3.url(prefix)).check()
    with pytest.raises(StoreUnavailable, match="check its credentials"):
        await upload.commit("files/a")

    await upload.abort()
    assert s3.keys(prefix) == []


async def test_a_bucket_that_is_not_there_is_told(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StoreUnavailable, match="has no such bucket: create it"):
        await open_store(s3.url("").replace("s3://dci", "s3://other")).check()


async def test_the_sweep_of_a_bucket_takes_abandoned_probes_and_nothing_else(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    prefix = uuid4().hex
    for key in ("tmp/probe", "tmp/other", "files/kept"):
        await obstore.put_async(s3.bucket(prefix), key, b"x")
    store = open_store(s3.url(prefix))

    assert await store.sweep(timedelta(hours=1)) == 0
    assert await store.sweep(timedelta(seconds=-5)) == 2

    assert s3.keys(prefix) == ["files/kept"]


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (b"403 Forbidden", "refuses the server: check its credentials"),
        (b"404 Not Found", "has no such bucket: create it"),
        (b"400 Bad Request", "does not work: check its address"),
    ],
)
async def test_a_store_that_refuses_says_what_to_do(answer: bytes, advice: str) -> None:
    async with store_that_answers(answer) as store:
        upload = await store.begin()
        await upload.write(b"x")

        with pytest.raises(StoreUnavailable, match=advice):
            await store.check()
        with pytest.raises(StoreUnavailable, match=advice):
            await upload.commit("files/a")
        await upload.abort()


async def test_a_silent_store_fails_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dci_server.foundation.storage.object_store.SECONDS_TO_ANSWER_A_PROBE", 0.3)

    async with store_that_answers(None) as store:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.check()


async def test_a_store_that_is_not_there_fails_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dci_server.foundation.storage.object_store.SECONDS_TO_ANSWER_A_PROBE", 0.3)

    async with store_that_answers(None) as store:
        pass

    with pytest.raises(StoreUnavailable, match=r"does not (answer|work)"):
        await store.check()
