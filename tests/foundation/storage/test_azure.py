# SPDX-License-Identifier: Apache-2.0
"""What is particular to the containers of Azure; what they do as every store does is in `test_every_store`."""

from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from dci_server.foundation.downloads import attachment
from dci_server.foundation.storage import Store, StoreUnavailable, open_store
from tests.azure import Azure

CONTENT = b"<script>alert(document.domain)</script>" * 100_000


@pytest.fixture
def store(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in azure.credentials.items():
        monkeypatch.setenv(name, value)
    return open_store(azure.url(uuid4().hex))


@pytest.mark.parametrize("size", [1000, len(CONTENT)])
async def test_an_address_leads_anybody_to_the_bytes_to_be_saved(store: Store, size: int) -> None:
    upload = await store.begin()
    await upload.write(CONTENT[:size])
    await upload.commit("files/a/b/c", attachment("é.html"))

    led = {method: await store.presign(method, "files/a/b/c", 600) for method in ("GET", "HEAD")}

    async with httpx.AsyncClient() as anybody:
        found = await anybody.get(led["GET"] or "")
        described = await anybody.head(led["HEAD"] or "")
        forged = await anybody.get((led["GET"] or "").replace("/a/b/c", "/a/b/d"))
        altered = await anybody.put(led["GET"] or "", content=b"x", headers={"x-ms-blob-type": "BlockBlob"})
    assert (found.status_code, found.content) == (200, CONTENT[:size])
    assert (described.status_code, described.headers["content-length"]) == (200, str(size))
    assert found.headers["content-disposition"] == "attachment; filename=\"e.html\"; filename*=UTF-8''%C3%A9.html"
    assert found.headers["content-type"] == "application/octet-stream"
    assert (forged.status_code, altered.status_code) == (403, 403)


async def test_an_address_works_for_ten_minutes(store: Store) -> None:
    led = parse_qs(urlsplit(await store.presign("GET", "files/a", 600) or "").query)

    assert datetime.fromisoformat(led["se"][0]) - datetime.fromisoformat(led["st"][0]) == timedelta(minutes=10)


async def test_a_wrong_key_is_told(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**azure.credentials, "AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StoreUnavailable, match="check its credentials"):
        await open_store(azure.url("x")).check()


async def test_a_container_that_is_not_there_is_told(azure: Azure, store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="has no such bucket: create it"):
        await open_store(azure.url("x", "other")).check()


async def test_entries_are_listed_below_a_prefix(store: Store) -> None:
    for key in ("files/a", "files/b/c", "filesystem", "packs/a"):
        upload = await store.begin()
        await upload.write(b"12345")
        await upload.commit(key)

    listed = [entry async for some in store.entries("files") for entry in some]

    assert sorted(listed) == [("files/a", 5), ("files/b/c", 5)]
