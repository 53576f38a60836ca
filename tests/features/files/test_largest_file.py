# SPDX-License-Identifier: Apache-2.0
"""A limit on files is one, however a body comes."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World

LIMIT = 200_000


@pytest.fixture(autouse=True)
def limit(app: Application) -> None:
    assert app.services is not None
    app.services.max_upload_bytes = LIMIT


async def chunks(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 10_000):
        yield b"x" * min(10_000, size - start)


@pytest.mark.parametrize("how", ["announced", "chunked", "compressed"])
@pytest.mark.parametrize("of", ["job", "component"])
async def test_the_largest_file_is_taken_and_no_larger_one(
    client_of: ClientOf, world: World, tmp_path: Path, how: str, of: str
) -> None:
    path = "/files" if of == "job" else f"/components/{world.ids['compose']}/files"
    headers = {"DCI-NAME": "x", "DCI-JOB-ID": await world.job()}
    if how == "compressed":
        headers["Content-Encoding"] = "gzip"

    async def send(size: int) -> int:
        body = {"announced": b"x" * size, "chunked": chunks(size), "compressed": gzip.compress(b"x" * size)}[how]
        response = await client_of("epm").post(path, content=body, headers=headers)
        if response.status_code == 413:
            assert response.json()["message"] == f"the file is larger than {LIMIT} bytes, the limit that is set here"
        return response.status_code

    statuses = [await send(size) for size in (LIMIT, LIMIT + 1, 2 * LIMIT)]

    assert statuses == [201, 413, 413]
    assert await world.count("files" if of == "job" else "component_files") == 1
    assert len([found for found in (tmp_path / "files").rglob("*") if found.is_file()]) == 1


async def test_what_is_announced_as_too_large_is_refused_unread(client_of: ClientOf, world: World) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {"DCI-NAME": "x", "DCI-JOB-ID": await world.job(), "Content-Length": str(LIMIT + 1)}

    response = await client_of("alice").post("/files", content=never(), headers=headers)

    assert response.status_code == 413
