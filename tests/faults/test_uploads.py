# SPDX-License-Identifier: Apache-2.0
"""A big file, sent by the published client, whose client, connection and server die on the way."""

import asyncio
import base64
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tusclient.client import TusClient
from tusclient.uploader.uploader import Uploader

from tests.server_process import Running, free_port, start, stop
from tests.waiting import PATIENCE

MIB = 1024 * 1024
SIZE = 50 * MIB + 12_345
PIECE = 6 * MIB


class House:
    """One data directory, and the servers that live in it one after the other."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.data = data
        self.running = start(data, self.port)

    def dies_and_is_started_again(self) -> None:
        self.running.process.kill()
        self.running.process.wait(60)
        self.running = start(self.data, self.port)

    def client(self) -> httpx.Client:
        rc = self.running.rc("admin")
        auth = httpx.BasicAuth(rc["DCI_LOGIN"], rc["DCI_PASSWORD"])
        return httpx.Client(base_url=f"{self.running.url}/api/v1", auth=auth, timeout=60)

    def headers(self) -> dict[str, str]:
        rc = self.running.rc("admin")
        token = base64.b64encode(f"{rc['DCI_LOGIN']}:{rc['DCI_PASSWORD']}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    def uploader(self, content: bytes, url: str | None = None, **more: str) -> Uploader:
        client = TusClient(f"{self.running.url}/api/v1/uploads", self.headers())
        return Uploader(
            file_stream=BytesIO(content), client=client, url=url, chunk_size=PIECE, metadata={"filename": "big", **more},
            upload_checksum=True,
        )  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "data")
    yield house
    stop(house.running)


@pytest.mark.timeout(600)
async def test_an_upload_continues_whatever_dies(house: House) -> None:
    big = random.Random(1).randbytes(SIZE)
    job = new_job(house.running)

    # The client dies between two pieces; another one continues.
    first = house.uploader(big, job_id=job)
    first.upload_chunk()
    where = str(first.url)
    second = house.uploader(big, where)
    assert second.offset == PIECE
    second.upload_chunk()

    # The connection is cut within a piece: what arrived is kept, but for less than a MiB.
    cut(house, where, 2 * PIECE, big[2 * PIECE : 2 * PIECE + 3 * MIB + 100])
    arrived = await when_more_has_arrived(house, where, 2 * PIECE)
    assert 2 * PIECE + 2 * MIB <= arrived <= 2 * PIECE + 3 * MIB + 100

    # The server dies within a piece: what was acknowledged is there.
    third = house.uploader(big, where)
    third.upload_chunk()
    dying = threading.Timer(0.05, house.running.process.kill)
    dying.start()
    with suppress(Exception):
        third.upload()
    dying.join()
    house.dies_and_is_started_again()
    fourth = house.uploader(big, where)
    assert fourth.offset >= third.offset >= arrived + PIECE

    # And within the making of the file.
    fourth.upload(SIZE - 10)
    dying = threading.Timer(random.uniform(0, 0.3), house.running.process.kill)
    dying.start()
    with suppress(Exception):
        fourth.upload()
    dying.join()
    house.dies_and_is_started_again()
    house.uploader(big, where).upload()

    with house.client() as client:
        told = client.head(where, headers={"Tus-Resumable": "1.0.0"})
        assert told.status_code == 204, told.headers
        (file,) = client.get(f"/jobs/{job}/files").json()["files"]
        assert told.headers["dci-file-id"] == file["id"]
        assert client.get(f"/files/{file['id']}/content").content == big
        assert client.post("/jobs/purge").status_code == 204
    only_the_file_is_in_the_store(house.running, file)


def new_job(running: Running) -> str:
    with running.signed() as lab:
        topic = lab.get("/topics", params={"where": "name:RHEL-9.6"}).json()["topics"][0]["id"]
        return lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]


def cut(house: House, where: str, offset: int, content: bytes) -> None:
    """Half a request."""
    address = urlsplit(where)
    with socket.create_connection((str(address.hostname), address.port or 0)) as connection:
        head = [
            f"PATCH {address.path} HTTP/1.1",
            f"Host: {address.netloc}",
            *(f"{name}: {value}" for name, value in house.headers().items()),
            "Tus-Resumable: 1.0.0",
            f"Upload-Offset: {offset}",
            "Content-Type: application/offset+octet-stream",
            f"Content-Length: {2 * len(content)}",
        ]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + content)


async def when_more_has_arrived(house: House, where: str, before: int) -> int:
    with house.client() as client:
        async with asyncio.timeout(PATIENCE):
            while True:
                offset = int(client.head(where, headers={"Tus-Resumable": "1.0.0"}).headers["upload-offset"])
                if offset > before:
                    return offset
                await asyncio.sleep(0.05)


def only_the_file_is_in_the_store(running: Running, file: dict[str, str]) -> None:
    """After a purge, which also removes what waits to be removed."""
    root = running.data / "files"
    key = f"files/{file['team_id']}/{file['job_id']}/{file['id']}"
    assert [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()] == [key]
