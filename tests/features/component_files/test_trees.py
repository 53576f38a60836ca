# SPDX-License-Identifier: Apache-2.0
import hashlib
import hmac
import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from dci_server.foundation.http import Application
from dci_server.foundation.storage import open_store
from tests.conftest import ClientOf, World

SECRET = "nothing"


@pytest.fixture
def bucket(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket at an address where nobody is: signing needs no answer."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert app.services is not None
    app.services.store = open_store("s3://bucket/pre?endpoint=http://127.0.0.1:9&region=here")


def is_signed_for(method: str, location: str) -> bool:
    """As AWS verifies a presigned address (Signature Version 4, query form)."""
    parts = urlsplit(location)
    given = dict(parse_qsl(parts.query))
    signature = given.pop("X-Amz-Signature")
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(given.items()))
    canonical = f"{method}\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = given["X-Amz-Credential"].partition("/")[2]
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{given['X-Amz-Date']}\n{scope}\n{digest}"
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)


def plant(tmp_path: Path, component_id: str, path: str, content: bytes) -> None:
    target = tmp_path / "files" / "components" / component_id / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("path", ["dci_files_list.json", "BaseOS/x86_64/os/a b+c.rpm", "é/%41.txt", "a/"])
async def test_a_directory_streams_the_files_of_a_tree(
    client_of: ClientOf, world: World, tmp_path: Path, version: str, path: str
) -> None:
    component_id = world.ids["compose"]
    plant(tmp_path, component_id, path.rstrip("/"), b"leaf")
    url = f"http://dci.test/api/{version}/components/{component_id}/files/{quote(path)}"

    for who in ("blue_lab", "alice", "reader"):
        response, head = await client_of(who).get(url), await client_of(who).head(url)

        assert (response.status_code, response.content) == (200, b"leaf")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "4")
        assert response.headers["cache-control"] == "private, no-store"
        assert response.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize("path", ["absent", "a/absent", "a", "leaf/below"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_not_in_a_directory_is_not_found(
    client_of: ClientOf, world: World, tmp_path: Path, path: str, method: str
) -> None:
    plant(tmp_path, world.ids["compose"], "a/b", b"")
    plant(tmp_path, world.ids["compose"], "leaf", b"")

    response = await client_of("alice").request(method, f"/components/{world.ids['compose']}/files/{path}")

    assert response.status_code == 404


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "path",
    [
        "a//b",
        "a/../b",
        "../b",
        "./b",
        "a/./b",
        "a/..",
        "%2e%2e/b",
        "a/%2E%2e/b",
        "%252e%252e/b",
        "a%2F%2Fb",
        "a%2f..%2fb",
        "a//",
    ],
)
async def test_a_path_that_could_lead_elsewhere_is_refused(
    app: Application, world: World, version: str, path: str
) -> None:
    status, message = await get_as_written(app, world, f"/api/{version}/components/{world.ids['compose']}/files/{path}")

    assert (status, message) == (400, "Request malformed: filepath is invalid")


async def get_as_written(app: Application, world: World, path: str) -> tuple[int, str]:
    """Alice's request; the test client would take the dots out of the path."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"dci.test"),
            (b"authorization", b"Basic " + b64encode(f"alice:{world.passwords['alice']}".encode())),
        ],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["message"]


@pytest.mark.parametrize("path", ["/a", "//", "%2Fa"])
async def test_a_path_that_begins_with_nothing_is_no_route(client_of: ClientOf, world: World, path: str) -> None:
    response = await client_of("alice").get(f"/components/{world.ids['compose']}/files/{path}")

    assert response.status_code == 404
    assert "nothing is served at this address" in response.json()["message"]


@pytest.mark.parametrize("path", ["a\x00b", "a\nb", "x" * 256, "/".join("x" * 200 for _ in range(6))])
async def test_a_path_that_no_store_can_hold_is_refused(client_of: ClientOf, world: World, path: str) -> None:
    response = await client_of("alice").get(f"/components/{world.ids['compose']}/files/{quote(path)}")

    assert response.status_code == 400


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("who", "component", "path", "status"),
    [
        ("nobody", "absent", "a//b", 404),
        ("nobody", "compose", "a//b", 401),
        ("alice", "compose", "a//b", 400),
        ("stranger", "compose", "a", 401),
    ],
)
async def test_refusals_come_in_order(
    client_of: ClientOf, world: World, version: str, who: str, component: str, path: str, status: int
) -> None:
    component_id = world.ids.get(component, "00000000-0000-4000-8000-000000000000")

    response = await client_of(who).get(f"http://dci.test/api/{version}/components/{component_id}/files/{path}")

    assert response.status_code == status


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_bucket_is_redirected_to(client_of: ClientOf, world: World, version: str, method: str) -> None:
    component_id = world.ids["compose"]
    url = f"http://dci.test/api/{version}/components/{component_id}/files/Base%20OS/a%2Bb.rpm"

    response = await client_of("blue_lab").request(method, url)

    assert (response.status_code, response.content) == (302, b"")
    assert response.headers["content-type"] == "application/json"
    location = response.headers["location"]
    assert urlsplit(location).path == f"/bucket/pre/components/{component_id}/Base%20OS/a%2Bb.rpm"
    assert dict(parse_qsl(urlsplit(location).query))["X-Amz-Expires"] == "600"
    assert [is_signed_for(each, location) for each in ("GET", "HEAD")] == [method == "GET", method == "HEAD"]


@pytest.mark.usefixtures("bucket")
async def test_a_bucket_is_not_redirected_to_by_those_who_may_not_read(client_of: ClientOf, world: World) -> None:
    response = await client_of("nobody").get(f"/components/{world.ids['compose']}/files/a")

    assert response.status_code == 401
    assert "location" not in response.headers
