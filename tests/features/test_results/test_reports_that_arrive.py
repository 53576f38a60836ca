# SPDX-License-Identifier: Apache-2.0
"""A report is parsed while it arrives, and nothing of it is kept before it is proven who sends it."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from dci_server.features.test_results import reading
from dci_server.foundation.http import Application
from tests.conftest import World, proof_of
from tests.features.test_results.test_rows_of_cases import left
from tests.signing import SignedBy

_FIRST_PART = 256 * 1024
# Their names don't get smaller, so that what is set aside does not stay in memory.
NAMES = [str(uuid4()) for _ in range(40_000)]
REPORT = (
    b"<testsuite name='s'>" + b"".join(b"<testcase name='%b'/>" % name.encode() for name in NAMES) + b"</testsuite>"
)


class Sender:
    """Sends reports in two parts, and knows what was parsed when the first one had been taken."""

    def __init__(self, app: Application, world: World, job: str) -> None:
        self._app = app
        self._world = world
        self._job = job
        self.parsed_before_the_end = 0
        self.between: Callable[[], Awaitable[None]] | None = None

    def parsed(self, when: str) -> int:
        assert self._app.services is not None
        told = self._app.services.metrics.render().decode()
        found = re.search(rf'dci_report_bytes_total{{when="{when}"}} ([0-9.e+]+)$', told, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    async def send(
        self,
        body: bytes = REPORT,
        *,
        who: str = "blue_lab",
        signed: bytes | None = None,
        headers: dict[str, str] | None = None,
        is_cut: bool = False,
    ) -> int:
        all_headers = {"DCI-NAME": "r", "DCI-JOB-ID": self._job, "DCI-MIME": "application/junit", **(headers or {})}
        transport = httpx.ASGITransport(app=cut(self._app) if is_cut else self._app)  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
        async with httpx.AsyncClient(transport=transport, base_url="http://dci.test/api/v1") as client:
            request = client.build_request("POST", "/files", content=self._parts(body), headers=all_headers)
            proof = proof_of(self._world, who)
            auth = httpx.BasicAuth(*proof) if isinstance(proof, tuple) else proof
            if isinstance(auth, SignedBy):
                auth.signed_body = body if signed is None else signed
                next(auth.auth_flow(request))
                auth = None
            return (await client.send(request, auth=auth)).status_code

    async def _parts(self, body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body) - 1, _FIRST_PART):
            yield body[start : min(start + _FIRST_PART, len(body) - 1)]
        if self.between is not None:
            await self.between()
        self.parsed_before_the_end = self.parsed("arriving")
        yield body[-1:]


def cut(app: Application) -> Callable[..., Awaitable[None]]:
    """The client goes away instead of sending the last byte."""

    async def serve(scope: object, receive: Callable[[], Awaitable[dict[str, object]]], send: object) -> None:
        async def receive_until_the_end() -> dict[str, object]:
            message = await receive()
            return message if len(message["body"]) > 1 else {"type": "http.disconnect"}  # type: ignore[arg-type]

        await app(scope, receive_until_the_end, send)  # type: ignore[arg-type]

    return serve


@pytest.fixture
async def sender(app: Application, world: World) -> Sender:
    return Sender(app, world, await world.job())


@pytest.mark.parametrize("who", ["blue_lab", "alice"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_report_is_parsed_before_its_last_byte_is_there(
    sender: Sender, world: World, who: str, encoding: str | None
) -> None:
    body, headers = (REPORT, {}) if encoding is None else (gzip.compress(REPORT), {"Content-Encoding": encoding})

    status = await sender.send(body, who=who, headers=headers)

    assert status == 201
    assert sender.parsed_before_the_end > len(REPORT) * 3 // 4
    assert (sender.parsed("arriving"), sender.parsed("arrived")) == (len(REPORT), 0)
    assert await world.count("cases") == len(NAMES)
    in_order = await world.db.fetch("select name from cases join test_names on id = test_id order by position")
    assert [row["name"] for row in in_order] == NAMES


@pytest.mark.parametrize("reason", ["signature", "md5", "cut"])
async def test_what_is_not_proven_leaves_nothing(
    app: Application, sender: Sender, world: World, tmp_path: Path, reason: str
) -> None:
    during: list[int] = []
    unseen = tmp_path / "files" / "tmp"

    async def look() -> None:
        during.append(open_files(unseen))

    sender.between = look

    if reason == "cut":
        with pytest.raises(AssertionError):  # there is no answer
            await sender.send(is_cut=True)
    else:
        signed = b"something else" if reason == "signature" else None
        status = await sender.send(signed=signed, headers={"DCI-MD5": "0" * 32} if reason == "md5" else {})
        assert status == (401 if reason == "signature" else 400)

    assert during == [2]  # the upload, and what was set aside
    assert open_files(unseen) == 0
    assert list(unseen.iterdir()) == []
    assert await world.count("test_names") == 0
    assert await left(app, world) == (0, 0, 0)


def open_files(directory: Path) -> int:
    """In the directory, those without a name included."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += descriptor.readlink().parent == directory
        except FileNotFoundError:
            continue  # the one that lists the others
    return found


async def test_unproven_reports_beyond_some_are_parsed_when_they_are_proven(sender: Sender, world: World) -> None:
    everybody, arrived = asyncio.Event(), 0

    async def wait_for_the_others() -> None:
        nonlocal arrived
        arrived += 1
        if arrived == reading.MOST_UNPROVEN + 1:
            everybody.set()
        await everybody.wait()

    sender.between = wait_for_the_others
    false = (sender.send(signed=b"something else") for _ in range(reading.MOST_UNPROVEN))
    crowd = [asyncio.create_task(request) for request in false]
    while arrived < reading.MOST_UNPROVEN:
        await asyncio.sleep(0)

    status = await sender.send()

    assert (status, sender.parsed("arrived")) == (201, len(REPORT))
    assert await asyncio.gather(*crowd) == [401] * reading.MOST_UNPROVEN
    assert await world.count("cases") == len(NAMES)
    sender.between = None
    before = sender.parsed("arriving")
    assert await sender.send() == 201
    assert sender.parsed("arriving") - before == len(REPORT)


async def test_reports_with_a_password_are_parsed_while_they_arrive_however_many(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_UNPROVEN", 0)

    assert await sender.send(who="alice") == 201

    assert sender.parsed("arrived") == 0


async def test_eight_reports_at_once_are_each_whole(sender: Sender, world: World) -> None:
    statuses = await asyncio.gather(*(sender.send() for _ in range(8)))

    assert statuses == [201] * 8
    totals = await world.db.fetch("select total from tests_results")
    assert [row["total"] for row in totals] == [len(NAMES)] * 8


async def test_what_follows_an_error_is_not_parsed(sender: Sender) -> None:
    status = await sender.send(b"<testsuite><a></b>" + REPORT)

    assert status == 400
    assert 0 < sender.parsed("arriving") + sender.parsed("arrived") < _FIRST_PART
