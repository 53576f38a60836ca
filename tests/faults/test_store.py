# SPDX-License-Identifier: Apache-2.0
"""A store that fails, as disks and object stores do: the client is told, nothing is seen half, and the server goes on."""

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import obstore
import pytest

from dci_server.foundation.http import Application
from dci_server.foundation.storage import object_store
from dci_server.foundation.storage.removal import count_unreferenced, count_waiting, give_up_all_objects, remove_due
from tests.conftest import ClientOf, World, started
from tests.s3 import S3
from tests.server_process import Running, free_port, start, stop
from tests.waiting import PATIENCE

MIB = 1024 * 1024
BIG = bytes(range(256)) * 4096 * 3
Behaviour = Literal["well", "503", "silent", "cut answers", "cut requests"]


class Proxy:
    """Between us and the S3 server, which is well: what is wrong with the way to it."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self.behaviour: Behaviour = "well"
        self.failures_left: int | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    def behave(self, behaviour: Behaviour, times: int | None = None) -> None:
        """So many connections, or until it is told to behave otherwise. Those that are open end: they are reused."""
        for writer in self._open:
            writer.transport.abort()
        self.behaviour, self.failures_left = behaviour, times

    def _is_well(self) -> bool:
        if self.failures_left is not None:
            if self.failures_left == 0:
                return True
            self.failures_left -= 1
        return self.behaviour == "well"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour: Behaviour = "well" if self._is_well() else self.behaviour
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            if behaviour == "503":
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
            elif behaviour == "silent":
                await reader.read()
            else:
                await self._forward(reader, writer, behaviour)
        self._open.discard(writer)
        writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behaviour: Behaviour) -> None:
        there, back = await asyncio.open_connection(*self._target)
        requests = asyncio.create_task(_pump(reader, back, 40_000 if behaviour == "cut requests" else None))
        answers = asyncio.create_task(_pump(there, writer, 40_000 if behaviour == "cut answers" else None))
        await asyncio.wait([requests, answers], return_when=asyncio.FIRST_COMPLETED)
        for task in (requests, answers):
            task.cancel()
        back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
    with suppress(OSError):
        while (chunk := await reader.read(16_384)) and (most is None or most > 0):
            writer.write(chunk)
            await writer.drain()
            most = None if most is None else most - len(chunk)


@pytest.fixture
async def proxy(s3: S3) -> AsyncIterator[Proxy]:
    proxy = Proxy(s3.endpoint)
    listening = await proxy.listen()
    yield proxy
    listening.close()


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
async def app(
    request: pytest.FixtureRequest,
    database_url: str,
    key: str,
    tmp_path: Path,
    s3: S3,
    prefix: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Application]:
    """Waits for long only where something is to come."""
    is_in_vain = "silent" in request.node.name
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_store, "SECONDS_FOR_AN_ANSWER", 3 if is_in_vain else PATIENCE)
    monkeypatch.setitem(object_store.RETRY, "max_retries", 2)
    monkeypatch.setitem(object_store.RETRY, "retry_timeout", timedelta(seconds=4 if is_in_vain else PATIENCE))
    async with started(database_url, key, tmp_path, s3.url(prefix, proxy.url)) as application:
        yield application


async def upload(client: httpx.AsyncClient, job: str, content: bytes = BIG) -> httpx.Response:
    return await client.post("/files", content=content, headers={"DCI-NAME": "x", "DCI-JOB-ID": job})


async def orphans(app: Application) -> tuple[int, int]:
    """After the sweep of a server that has just started: objects without a row, and those that wait to be removed."""
    assert app.services is not None
    db, store = app.services.db, app.services.store
    await give_up_all_objects(db)
    await remove_due(db, store)
    await store.sweep(timedelta(seconds=-5))
    return (await count_unreferenced(db, store, 1000)).objects, await count_waiting(db)


@pytest.mark.parametrize("behaviour", ["503", "silent", "cut requests"])
async def test_an_upload_that_the_store_does_not_take_is_told_and_leaves_nothing(
    client_of: ClientOf, app: Application, world: World, proxy: Proxy, s3: S3, prefix: str, behaviour: Behaviour
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    before = (await upload(lab, job)).json()["file"]["id"]
    proxy.behave(behaviour)

    refused = await upload(lab, job)
    small = await upload(lab, job, b"a task log")

    assert refused.status_code == 503
    assert "object store" in refused.json()["message"]
    assert proxy.url not in refused.text
    assert small.status_code == 201
    proxy.behave("well")
    after = (await upload(lab, job)).json()["file"]["id"]
    assert await orphans(app) == (0, 0)
    assert {key.rpartition("/")[2] for key in s3.keys(prefix)} == {before, after}
    listed = (await lab.get(f"/jobs/{job}/files")).json()["files"]
    assert {file["id"] for file in listed} == {before, after, small.json()["file"]["id"]}


@pytest.mark.parametrize("behaviour", ["503", "cut requests", "cut answers"])
async def test_what_goes_wrong_once_is_not_noticed(
    client_of: ClientOf, app: Application, world: World, proxy: Proxy, behaviour: Behaviour
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    proxy.behave(behaviour, 1)

    file = (await upload(lab, job)).json()["file"]
    proxy.behave(behaviour, 1)
    content = (await lab.get(f"/files/{file['id']}/content")).content

    assert content == BIG
    assert await orphans(app) == (0, 0)


@pytest.mark.parametrize("behaviour", ["503", "silent", "cut answers"])
async def test_a_download_that_breaks_off_is_never_taken_for_a_whole_one(
    client_of: ClientOf, app: Application, world: World, proxy: Proxy, behaviour: Behaviour
) -> None:
    lab = client_of("blue_lab")
    file = (await upload(lab, await world.job())).json()["file"]
    path = f"/files/{file['id']}/content"
    proxy.behave(behaviour)

    try:
        response = await lab.get(path)
    except Exception as broken_off:
        assert "broke off" in str(broken_off)
    else:
        assert response.status_code == 503
    proxy.behave("well")

    assert (await lab.get(path)).content == BIG


async def test_a_purge_that_the_store_refuses_keeps_what_it_did_not_do(
    client_of: ClientOf, app: Application, world: World, proxy: Proxy, s3: S3, prefix: str
) -> None:
    admin, lab, job = client_of("admin"), client_of("blue_lab"), await world.job()
    for _ in range(3):
        await lab.delete(f"/files/{(await upload(lab, job)).json()['file']['id']}")
    proxy.behave("503")

    refused = await admin.post("/files/purge")

    assert refused.status_code == 503
    assert (await world.count("files"), len(s3.keys(prefix))) == (3, 3)
    proxy.behave("well")
    assert (await admin.post("/files/purge")).headers["x-dci-purged-rows"] == "3"
    assert (await world.count("files"), s3.keys(prefix)) == (0, [])


@dataclass(frozen=True)
class Full:
    """A server that can take files of 6 MiB or so, and the sizes of what it stored."""

    running: Running
    stored: Callable[[], list[int]]


@pytest.fixture(params=["a full disk", "a limit on files", "a full disk before a bucket"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Full]:
    disk, data = tmp_path / "disk", tmp_path / "data"
    disk.mkdir()
    settings = {"DCI_STORE_URL": str(disk)}

    def on_disk() -> list[int]:
        return [path.stat().st_size for path in disk.rglob("*") if path.is_file()]

    stored = on_disk
    if request.param == "a full disk before a bucket":
        s3: S3 = request.getfixturevalue("s3")
        prefix = uuid4().hex
        # Where uploads wait until they are sent.
        settings = {"DCI_STORE_URL": s3.url(prefix), "TMPDIR": str(disk), **s3.credentials}

        def in_bucket() -> list[int]:
            return [obstore.head(s3.bucket(prefix), key)["size"] for key in s3.keys(prefix)]

        stored = in_bucket
    is_disk = request.param != "a limit on files"
    if is_disk:
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk]
        if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("a small file system can be mounted by root only")
    try:
        running = start(data, free_port(), **settings)
        if not is_disk:
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (8 * MIB, 8 * MIB))
        yield Full(running, stored)
        stop(running)
    finally:
        if is_disk:
            subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.timeout(300)
def test_an_upload_that_does_not_fit_is_told_and_leaves_its_space(full: Full, tmp_path: Path) -> None:
    with full.running.signed() as lab:
        topic = lab.get("/topics").json()["topics"][0]["id"]
        job = lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]

        def send(size: int) -> httpx.Response:
            return lab.post("/files", content=b"x" * size, headers={"DCI-NAME": "x", "DCI-JOB-ID": job})

        refused = [send(20 * MIB), send(20 * MIB)]
        taken = [send(100), send(5 * MIB)]
        listed = lab.get(f"/jobs/{job}/files").json()["files"]
        contents = [lab.get(f"/files/{response.json()['file']['id']}/content").content for response in taken]

    assert [response.status_code for response in refused] == [503, 503]
    assert "is full: free some space" in refused[0].json()["message"]
    assert str(tmp_path) not in refused[0].text
    assert [response.status_code for response in taken] == [201, 201]
    assert sorted(file["size"] for file in listed) == [100, 5 * MIB]
    assert [len(content) for content in contents] == [100, 5 * MIB]
    assert full.stored() == [5 * MIB]
