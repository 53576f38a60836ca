# SPDX-License-Identifier: Apache-2.0
"""Files of RHEL builds are where RHDL says: against a server that verifies signatures as the published library does."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import dciauth.v2.headers
import dciauth.v2.signature
import pytest

from dci_server.foundation.http import Application
from dci_server.foundation.rhdl import Rhdl
from tests.conftest import ClientOf, World

ACCESS_KEY, SECRET_KEY = "service_account/7c1f0a52", "kT3vQ9mZx7LrB2wYc5"
PLACE = "http://storage.test/a%20b?X-Amz-Signature=1%2F2"


@dataclass
class Service:
    """Answers every request that is signed well as it was told, and remembers what was asked."""

    status: str = "302 Found"
    location: str | None = PLACE
    silent: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if self.silent:
                    break
                writer.write(self._answer(head.decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    def _answer(self, head: str) -> bytes:
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        self.asked.append((method, target))
        if not _is_signed(method, target, headers):
            return b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
        location = f"location: {self.location}\r\n" if self.location is not None else ""
        return f"HTTP/1.1 {self.status}\r\n{location}content-length: 6\r\n\r\nsecret".encode()


def _is_signed(method: str, target: str, headers: dict[str, str]) -> bool:
    headers_module, signature_module = cast(Any, dciauth.v2.headers), cast(Any, dciauth.v2.signature)
    claimed = headers_module.parse_headers(headers)
    request: dict[str, object] = {"method": method, "endpoint": target, "params": {}, "data": b""}
    verdict = signature_module.is_valid(request, {"secret_key": SECRET_KEY}, claimed)
    scope = (claimed["region"], claimed["service"], claimed["request_type"], claimed["algorithm"])
    return verdict[0] and scope == ("us-east-1", "api", "aws4_request", "AWS4-HMAC-SHA256")


@pytest.fixture
async def service(app: Application) -> AsyncIterator[Service]:
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    rhdl = Rhdl(f"http://127.0.0.1:{service.port}/api/v1/", ACCESS_KEY, SECRET_KEY)
    assert app.services is not None
    app.services.rhdl = rhdl
    yield service
    await rhdl.close()
    server.close()
    await server.wait_closed()


def in_v2(world: World, path: str) -> str:
    return f"http://dci.test/api/v2/components/{world.ids['compose']}/files/{path}"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("BaseOS/a%20b%2Bc.rpm", "BaseOS/a%20b%2Bc.rpm"),
        ("%C3%A9/x%3Fy%23z", "%C3%A9/x%3Fy%23z"),
        ("dci_files_list.json", "rhdl_files_list.json"),
        ("a/dci_files_list.json", "a/dci_files_list.json"),
    ],
)
async def test_a_signed_question_leads_to_where_the_file_is(
    client_of: ClientOf, world: World, service: Service, method: str, path: str, asked: str
) -> None:
    response = await client_of("blue_lab").request(method, in_v2(world, path))

    assert (response.status_code, response.content) == (302, b"")
    assert response.headers["location"] == PLACE
    assert response.headers["content-type"] == "application/json"
    assert service.asked == [("GET", f"/api/v1/components/RHEL-9.6.0-1/files/{asked}")]


@pytest.mark.parametrize(
    ("display_name", "segment"),
    [("a/../../b", "a%2F..%2F..%2Fb"), ("x?y#z", "x%3Fy%23z"), ("é 1", "%C3%A9%201"), ("100%", "100%25")],
)
async def test_a_display_name_is_one_segment(
    client_of: ClientOf, world: World, service: Service, display_name: str, segment: str
) -> None:
    await world.db.execute("update components set display_name = $1", display_name)

    response = await client_of("alice").get(in_v2(world, "f"))

    assert response.status_code == 302
    assert service.asked == [("GET", f"/api/v1/components/{segment}/files/f")]


@pytest.mark.parametrize("display_name", ["", ".", ".."])
async def test_a_display_name_that_is_no_segment_is_not_asked_for(
    client_of: ClientOf, world: World, service: Service, display_name: str
) -> None:
    await world.db.execute("update components set display_name = $1", display_name)

    response = await client_of("alice").get(in_v2(world, "f"))

    assert response.status_code == 404
    assert service.asked == []


@pytest.mark.parametrize(
    ("answered", "location", "status"),
    [
        ("404 Not Found", None, 404),
        ("200 OK", None, 502),
        ("401 Unauthorized", None, 502),
        ("500 Internal Server Error", None, 502),
        ("301 Moved Permanently", PLACE, 502),
        ("302 Found", None, 502),
        ("302 Found", "/relative", 502),
        ("302 Found", "javascript:alert(1)", 502),
    ],
)
async def test_any_other_answer_is_told_in_our_words(
    client_of: ClientOf, world: World, service: Service, answered: str, location: str | None, status: int
) -> None:
    service.status, service.location = answered, location

    response = await client_of("alice").get(in_v2(world, "f"))

    assert response.status_code == status
    body = response.json()
    expected = "file not found" if status == 404 else "the RHDL service, which has the files of this component"
    assert body["message"].startswith(expected)
    assert body["status_code"] == status
    assert "secret" not in response.text
    assert "location" not in response.headers
    assert len(service.asked) == 1


async def test_a_service_that_hangs_up_or_is_away_is_a_bad_gateway(
    client_of: ClientOf, app: Application, world: World, service: Service
) -> None:
    service.silent = True
    hangs_up = await client_of("alice").get(in_v2(world, "f"))
    assert app.services is not None
    nobody_there = app.services.rhdl = Rhdl("http://127.0.0.1:9", ACCESS_KEY, SECRET_KEY)
    away = await client_of("alice").get(in_v2(world, "f"))
    await nobody_there.close()

    for response in (hangs_up, away):
        assert response.status_code == 502
        assert response.headers["content-type"] == "application/json"


async def test_a_wrong_key_is_our_failure_not_the_callers(
    client_of: ClientOf, app: Application, world: World, service: Service
) -> None:
    assert app.services is not None
    wrong = app.services.rhdl = Rhdl(f"http://127.0.0.1:{service.port}/api/v1", ACCESS_KEY, "wrong")

    response = await client_of("alice").get(in_v2(world, "f"))

    await wrong.close()
    assert response.status_code == 502


async def test_refusals_come_before_anything_is_asked(client_of: ClientOf, world: World, service: Service) -> None:
    statuses = [
        (await client_of("nobody").get(in_v2(world, "f"))).status_code,
        (await client_of("alice").get(in_v2(world, "a//f"))).status_code,
    ]

    assert statuses == [401, 400]
    assert service.asked == []


@pytest.mark.parametrize(("tags", "status"), [(["rhdl"], 302), (["a", "rhdl"], 302), (["RHDL"], 404), ([], 404)])
async def test_in_v1_the_tag_rhdl_decides(
    client_of: ClientOf, world: World, service: Service, tags: list[str], status: int
) -> None:
    await world.db.execute("update components set tags = $1", tags)

    response = await client_of("alice").get(f"/components/{world.ids['compose']}/files/f")

    assert response.status_code == status
    assert len(service.asked) == (1 if status == 302 else 0)
