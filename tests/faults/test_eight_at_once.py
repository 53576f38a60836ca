# SPDX-License-Identifier: Apache-2.0
"""Promise P3 with eight clients at a time, of a directory and of a bucket: uploads, downloads, and reports.

Together they send more than twice of what memory may grow by; one alone, much bigger, is in `test_memory.py`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from tests.faults.measured import MIB, MOST_GROWTH, Memory, growth
from tests.s3 import S3
from tests.server_process import Running, free_port, start, stop

AT_ONCE = 8
EACH = 20 * MIB
PIECE = bytes(range(256)) * 256
CASES = b"<testcase name='a'><system-out>%b</system-out></testcase>" % (b"line\n" * 13_000)


@dataclass(frozen=True)
class Clients:
    """As many as are at it at once, by password: a signature would need the bytes before they are made."""

    server: Running
    job: str

    def do(self, act: Callable[[httpx.Client], str]) -> list[str]:
        """What comes out of what each does, all at once."""
        rc = self.server.rc("demo-user")
        address, auth = f"{self.server.url}/api/v1", (rc["DCI_LOGIN"], rc["DCI_PASSWORD"])
        with httpx.Client(base_url=address, auth=auth, timeout=120) as client, ThreadPoolExecutor(AT_ONCE) as threads:
            doing = [threads.submit(act, client) for _ in range(AT_ONCE)]
            return [each.result() for each in doing]

    def upload(self, client: httpx.Client) -> str:
        return self._send(client, (PIECE for _ in range(EACH // len(PIECE))), "text/plain")

    def report(self, client: httpx.Client) -> str:
        return self._send(client, report(), "application/junit")

    def _send(self, client: httpx.Client, content: Iterator[bytes], mime: str) -> str:
        headers = {"DCI-NAME": "big", "DCI-JOB-ID": self.job, "DCI-MIME": mime}
        answer = client.post("/files", content=content, headers=headers)
        assert answer.status_code == 201, answer.text
        assert answer.json()["file"]["size"] > EACH - MIB
        return answer.json()["file"]["id"]


def report() -> Iterator[bytes]:
    yield b"<testsuite>"
    for _ in range(EACH // len(CASES)):
        yield CASES
    yield b"</testsuite>"


@pytest.fixture(scope="module", params=["directory", "bucket"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings: dict[str, str] = {}
    if request.param == "bucket":
        s3: S3 = request.getfixturevalue("s3")
        settings = {"DCI_STORE_URL": s3.url(uuid4().hex), **s3.credentials}
    running = start(tmp_path_factory.mktemp("eight") / "data", free_port(), **settings)
    yield running
    stop(running)


@pytest.fixture
def clients(server: Running) -> Clients:
    with server.signed() as lab:
        topic = lab.get("/topics").json()["topics"][0]["id"]
        return Clients(server, lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"])


@pytest.fixture
def memory(server: Running, clients: Clients) -> Memory:
    """After the server did once what it does when it is used: what it loads then is not of a request."""
    clients.do(lambda client: str(client.get("/identity").status_code))
    return Memory(server)


def test_together_they_send_more_than_it_may_grow_by() -> None:
    assert AT_ONCE * EACH > 2 * MOST_GROWTH


def test_eight_uploads_and_eight_downloads_at_once_do_not_make_it_grow(clients: Clients, memory: Memory) -> None:
    before = memory.now()

    uploaded = clients.do(clients.upload)
    after_uploads = growth(memory, before)
    waiting = iter(uploaded)

    def download(client: httpx.Client) -> str:
        size = 0
        with client.stream("GET", f"/files/{next(waiting)}/content") as answer:
            for piece in answer.iter_raw():
                assert piece == (PIECE * (len(piece) // len(PIECE) + 2))[size % 256 :][: len(piece)]
                size += len(piece)
        return str(size)

    downloaded = clients.do(download)

    assert len(set(uploaded)) == AT_ONCE
    assert downloaded == [str(EACH)] * AT_ONCE
    assert (after_uploads, growth(memory, before)) == ("", "")


def test_eight_reports_at_once_do_not_make_it_grow(clients: Clients, memory: Memory) -> None:
    before = memory.now()

    reports = clients.do(clients.report)

    with clients.server.signed() as lab:
        results = lab.get(f"/jobs/{clients.job}/results").json()["results"]
    assert {result["file_id"] for result in results} == set(reports)
    assert {result["total"] for result in results} == {EACH // len(CASES)}
    assert growth(memory, before) == ""
