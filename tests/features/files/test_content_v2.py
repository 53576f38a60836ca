# SPDX-License-Identifier: Apache-2.0
from urllib.parse import urlsplit

import pytest

from dci_server.foundation.http import Application
from dci_server.foundation.storage import open_store
from tests.conftest import ClientOf, World

SMALL, BIG = 2_048, 300_000


async def uploaded(client_of: ClientOf, world: World, size: int) -> dict[str, str]:
    headers = {"DCI-NAME": "x", "DCI-JOB-ID": await world.job()}
    return (await client_of("blue_lab").post("/files", content=b"x" * size, headers=headers)).json()["file"]


def content_of(file: dict[str, str]) -> str:
    return f"http://dci.test/api/v2/files/{file['id']}/content"


@pytest.mark.parametrize("size", [SMALL, BIG])
async def test_without_a_bucket_v2_answers_as_v1_does(client_of: ClientOf, world: World, size: int) -> None:
    file, alice = await uploaded(client_of, world, size), client_of("alice")

    first, second = await alice.get(f"/files/{file['id']}/content"), await alice.get(content_of(file))

    assert (second.status_code, second.content) == (200, b"x" * size)
    assert {**second.headers} == {**first.headers}
    assert (await alice.head(content_of(file))).headers["content-length"] == str(size)


@pytest.mark.parametrize(("size", "status"), [(SMALL, 200), (BIG, 302)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_with_a_bucket_v2_redirects_to_what_is_in_it(
    client_of: ClientOf,
    app: Application,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    status: int,
    method: str,
) -> None:
    file = await uploaded(client_of, world, size)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    assert app.services is not None
    app.services.store = open_store("s3://bucket?endpoint=http://127.0.0.1:9&region=here")

    response = await client_of("alice").request(method, content_of(file))

    assert response.status_code == status
    if status == 302:
        where = urlsplit(response.headers["location"])
        assert where.path == f"/bucket/files/{file['team_id']}/{file['job_id']}/{file['id']}"
        assert "X-Amz-Expires=600" in where.query


@pytest.mark.parametrize(("who", "status"), [("reader", 200), ("bob", 401), ("nobody", 401), ("stranger", 401)])
async def test_who_reads_a_blue_file_by_v2(client_of: ClientOf, world: World, who: str, status: int) -> None:
    file = await uploaded(client_of, world, SMALL)

    assert (await client_of(who).get(content_of(file))).status_code == status


async def test_the_index_of_v2_needs_no_identity(client_of: ClientOf) -> None:
    for url in ("http://dci.test/api/v2", "http://dci.test/api/v2/"):
        response = await client_of("stranger").get(url)

        assert response.json() == {"_status": "OK", "message": "Distributed CI.", "version": "2"}


async def test_nothing_else_is_served_by_v2(client_of: ClientOf) -> None:
    assert (await client_of("admin").get("http://dci.test/api/v2/topics")).status_code == 404
