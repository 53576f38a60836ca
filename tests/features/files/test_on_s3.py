# SPDX-License-Identifier: Apache-2.0
"""Files whose bytes are in a bucket: the same to whoever sends and reads them."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import obstore
import pytest

from dci_server.features.files.model import store_key
from dci_server.features.packs.actions import pack_next_job
from dci_server.foundation.http import Application
from dci_server.foundation.storage import object_store, open_store
from dci_server.foundation.storage.removal import count_unreferenced, remove_due
from tests.conftest import ClientOf, World, started
from tests.s3 import S3, watched
from tests.signing import SignedBy

BIG = bytes(n * 7 % 251 for n in range(300_000))


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
async def app(
    database_url: str, key: str, tmp_path: Path, s3: S3, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Application]:
    for name, value in s3.credentials.items():
        monkeypatch.setenv(name, value)
    async with started(database_url, key, tmp_path, s3.url(prefix)) as application:
        yield application


async def upload(client: httpx.AsyncClient, job: str, content: bytes, **headers: str) -> httpx.Response:
    named = {"DCI-NAME": "x", "DCI-JOB-ID": job, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await client.post("/files", content=content, headers=httpx.Headers(named, encoding="utf-8"))


async def test_a_big_file_goes_to_the_bucket_and_comes_back(
    client_of: ClientOf, world: World, s3: S3, prefix: str
) -> None:
    lab, job = client_of("blue_lab"), await world.job()

    file = (await upload(lab, job, BIG)).json()["file"]

    path = f"/files/{file['id']}/content"
    part = await lab.get(path, headers={"Range": "bytes=299990-"})
    head = await lab.head(path)
    assert s3.keys(prefix) == [f"files/{file['team_id']}/{job}/{file['id']}"]
    assert (await lab.get(path)).content == BIG
    assert (part.status_code, part.content) == (206, BIG[-10:])
    assert (head.status_code, head.headers["content-length"]) == (200, "300000")
    assert (await lab.get(path, headers={"If-None-Match": head.headers["etag"]})).status_code == 304


async def test_v2_leads_to_the_bytes_without_a_login(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    file = (await upload(lab, await world.job(), BIG)).json()["file"]
    path = f"http://dci.test/api/v2/files/{file['id']}/content"

    led = {method: await lab.request(method, path) for method in ("GET", "HEAD")}

    assert {method: response.status_code for method, response in led.items()} == {"GET": 302, "HEAD": 302}
    async with httpx.AsyncClient() as anybody:
        found = await anybody.get(led["GET"].headers["location"], headers={"Range": "bytes=0-9"})
        described = await anybody.head(led["HEAD"].headers["location"])
        forged = await anybody.get(led["GET"].headers["location"].replace(file["id"], str(uuid4())))
    assert (found.status_code, found.content) == (206, BIG[:10])
    assert (described.status_code, described.headers["content-length"]) == (200, "300000")
    assert forged.status_code == 403


HTML = b"<script>alert(document.domain)</script>" * 5_000


@pytest.mark.parametrize(
    ("name", "saved_as"),
    [
        ("log of a.html", 'attachment; filename="log_of_a.html"'),
        ('"é%.html', 'attachment; filename="\\"e%.html"; filename*=UTF-8\'\'%22%C3%A9%25.html'),
        ("日" * 250 + ".html", f'attachment; filename="{"_" * 250}.html"'),
    ],
)
@pytest.mark.parametrize("size", [len(HTML), 10 * len(HTML)])
async def test_what_the_bucket_hands_out_is_saved_under_its_name_and_never_shown(
    client_of: ClientOf, world: World, size: int, name: str, saved_as: str
) -> None:
    lab, content = client_of("blue_lab"), (HTML * 10)[:size]
    sent = await upload(lab, await world.job(), content, DCI_NAME=name, DCI_MIME="text/html")

    led = await lab.get(f"http://dci.test/api/v2/files/{sent.json()['file']['id']}/content")

    async with httpx.AsyncClient() as anybody:
        found = await anybody.get(led.headers["location"])
    assert (found.status_code, found.content) == (200, content)
    assert found.headers["content-disposition"] == saved_as
    assert found.headers["content-type"] == "application/octet-stream"


async def test_an_address_in_the_bucket_leads_to_a_replaced_report_for_a_while(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str
) -> None:
    assert app.services is not None
    out = b"<system-out>" + b"line\n" * 600_000 + b"</system-out>"
    lab, before = client_of("blue_lab"), b'<testsuite><testcase name="a"/>' + out + b"</testsuite>"
    after = before.replace(b'"a"/>', b'"a"><properties><property name="k" value="v"/></properties></testcase>')
    file = (await upload(lab, await world.job(), before, DCI_MIME="application/junit")).json()["file"]
    led = await lab.get(f"http://dci.test/api/v2/files/{file['id']}/content")
    begun = await app.services.store.read(store_key(file["team_id"], file["job_id"], file["id"]))
    first = await anext(begun)

    said = {"Content-Type": "application/junit", "If-match": file["etag"]}
    replaced = await lab.put(f"/files/{file['id']}/content", content=after, headers=said)
    await remove_due(app.services.db, app.services.store)

    assert replaced.status_code == 200
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(led.headers["location"])).content == before
    assert first + b"".join([piece async for piece in begun]) == before
    assert (await lab.get(f"/files/{file['id']}/content")).content == after
    assert (await count_unreferenced(app.services.db, app.services.store, 1000)).objects == 0
    await world.db.execute("update objects_to_remove set not_before = not_before - interval '1 hour'")
    await remove_due(app.services.db, app.services.store)
    assert s3.keys(prefix) == []


async def test_what_is_refused_leaves_nothing_in_the_bucket(
    client_of: ClientOf, world: World, s3: S3, prefix: str
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    forged = SignedBy(f"remoteci/{world.ids['blue_lab']}", world.keys["blue_lab"], signed_body=b"something else")
    headers = {"DCI-NAME": "x", "DCI-JOB-ID": job}

    refused = [
        await lab.post("/files", content=BIG, headers=headers, auth=forged),
        await upload(lab, job, BIG, DCI_MD5="0" * 32),
        await upload(client_of("bob"), job, BIG),
    ]

    assert [response.status_code for response in refused] == [401, 400, 401]
    assert s3.keys(prefix) == []


async def test_a_component_has_its_files_and_its_tree_in_the_bucket(
    client_of: ClientOf, world: World, s3: S3, prefix: str
) -> None:
    feeder, component = client_of("blue_feeder"), world.ids["compose"]
    await obstore.put_async(s3.bucket(prefix), f"components/{component}/a/é b.rpm", b"leaf")

    file = (await feeder.post(f"/components/{component}/files", content=BIG)).json()["component_file"]

    path = f"/components/{component}/files/{file['id']}"
    assert (await feeder.get(f"{path}/content")).content == BIG
    led = await feeder.get(f"/components/{component}/files/a/é b.rpm")
    assert led.status_code == 302
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(led.headers["location"])).content == b"leaf"


async def test_a_purge_empties_the_bucket(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str
) -> None:
    admin, lab, job = client_of("admin"), client_of("blue_lab"), await world.job()
    ids = [(await upload(lab, job, BIG)).json()["file"]["id"] for _ in range(3)]
    for file_id in ids[:2]:
        await lab.delete(f"/files/{file_id}")

    purged = await admin.post("/files/purge")
    await world.db.execute("delete from jobs")
    kept = s3.keys(prefix)
    assert app.services is not None
    await remove_due(app.services.db, app.services.store)

    assert purged.status_code == 204
    assert [key.rpartition("/")[2] for key in kept] == ids[2:]
    assert s3.keys(prefix) == []


async def test_an_object_that_the_bucket_lost_is_not_found(
    client_of: ClientOf, world: World, s3: S3, prefix: str
) -> None:
    lab = client_of("blue_lab")
    file = (await upload(lab, await world.job(), BIG)).json()["file"]
    await obstore.delete_async(s3.bucket(prefix), s3.keys(prefix))

    assert (await lab.get(f"/files/{file['id']}/content")).status_code == 404


async def test_a_bucket_that_refuses_is_no_fault_of_the_client(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert app.services is not None
    app.services.store = open_store(s3.url(prefix))

    response = await upload(client_of("blue_lab"), await world.job(), BIG)

    assert response.status_code == 503
    assert "check its credentials" in response.json()["message"]
    assert "wrong" not in response.text
    assert await world.count("files") == 0


async def test_objects_that_no_row_refers_to_are_counted(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    file = (await upload(lab, job, BIG)).json()["file"]
    component = world.ids["compose"]
    await lab.post(f"/components/{component}/files", content=BIG)
    waiting, stray = (f"files/{file['team_id']}/{job}/{uuid4()}" for _ in range(2))
    for key in (waiting, stray, f"components/{component}/tree/leaf", "else/where"):
        await obstore.put_async(s3.bucket(prefix), key, b"12345")
    await world.db.execute("insert into objects_to_remove values ($1, utc_now())", waiting)
    assert app.services is not None

    found = await count_unreferenced(app.services.db, app.services.store, 1000)

    assert (found.objects, found.size, found.is_all) == (1, 5, True)


async def test_pieces_become_one_object(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str
) -> None:
    assert app.services is not None
    db, store = app.services.db, app.services.store
    lab, job = client_of("blue_lab"), await world.job()
    words = f"job_id {b64encode(job.encode()).decode()},name eA=="
    tus = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}

    opened = await lab.post("/uploads", headers={**tus, "Upload-Length": str(len(BIG)), "Upload-Metadata": words})
    where = f"http://dci.test{opened.headers['location']}"
    await lab.patch(where, content=BIG[:1000], headers={**tus, "Upload-Offset": "0"})
    assert [key.partition("/")[0] for key in s3.keys(prefix)] == ["uploads"]
    assert (await count_unreferenced(db, store, 1000)).objects == 0
    last = await lab.patch(where, content=BIG[1000:], headers={**tus, "Upload-Offset": "1000"})

    file_id = last.headers["dci-file-id"]
    assert (await lab.get(f"/files/{file_id}/content")).content == BIG
    await remove_due(db, store)
    assert s3.keys(prefix) == [f"files/{world.ids['Blue']}/{job}/{file_id}"]


async def test_small_files_of_a_job_that_is_over_are_one_object(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str
) -> None:
    assert app.services is not None
    db, store = app.services.db, app.services.store
    lab, job = client_of("blue_lab"), await world.job()
    contents = [BIG[n : n + 500] for n in range(60)]
    ids = [(await upload(lab, job, content)).json()["file"]["id"] for content in contents]
    await lab.post("/jobstates", json={"job_id": job, "status": "success"})

    await pack_next_job(db, store, 0)

    assert [key.partition("/")[0] for key in s3.keys(prefix)] == ["packs"]
    assert (await count_unreferenced(db, store, 1000)).objects == 0
    for version in ("http://dci.test/api/v1", "http://dci.test/api/v2"):
        read = await lab.get(f"{version}/files/{ids[50]}/content")
        assert (read.status_code, read.content) == (200, contents[50])
    await world.db.execute("delete from packs")
    await world.db.execute("delete from objects_to_remove")
    assert (await count_unreferenced(db, store, 1000)).objects == 1


@pytest.fixture
async def seen(s3: S3, prefix: str, app: Application) -> AsyncIterator[list[str]]:
    """What the bucket is asked for."""
    async with watched(s3, prefix) as way:
        assert app.services is not None
        app.services.store = open_store(s3.url(prefix, way.url))
        yield way.requests


async def test_reading_a_file_of_a_packed_job_is_one_request(
    client_of: ClientOf, app: Application, world: World, seen: list[str]
) -> None:
    assert app.services is not None
    lab, job = client_of("blue_lab"), await world.job()
    contents = [BIG[n * 1000 : n * 1000 + 30_000] for n in range(9)]
    ids = [(await upload(lab, job, content)).json()["file"]["id"] for content in contents]
    await lab.post("/jobstates", json={"job_id": job, "status": "success"})
    await pack_next_job(app.services.db, app.services.store, 0)
    where = await world.db.fetchrow(
        "select key, frame_start, frame_size from files_packed join packs on packs.id = pack_id where file_id = $1",
        ids[7],
    )
    assert where is not None
    seen.clear()

    whole = await lab.get(f"/files/{ids[7]}/content")
    part = await lab.get(f"/files/{ids[7]}/content", headers={"Range": "bytes=10-19"})

    assert (whole.content, part.content) == (contents[7], contents[7][10:20])
    frame = f"bytes={where['frame_start']}-{where['frame_start'] + where['frame_size'] - 1}"
    assert seen == [f"GET {where['key']} {frame}"] * 2
    assert where["frame_start"] > 0


@pytest.mark.parametrize(
    ("mebibytes", "asked"), [(3, ["PUT"]), (5, ["PUT"]), (15, ["POST", "PUT", "PUT", "PUT", "POST"])]
)
async def test_an_upload_is_one_request_to_the_bucket_until_it_takes_several(
    client_of: ClientOf, world: World, seen: list[str], mebibytes: int, asked: list[str]
) -> None:
    sent = await upload(client_of("blue_lab"), await world.job(), bytes(mebibytes * 1024 * 1024))

    assert sent.status_code == 201
    assert [request.split()[0] for request in seen] == asked


async def test_a_download_is_one_request_to_the_bucket(client_of: ClientOf, world: World, seen: list[str]) -> None:
    lab, job, content = client_of("blue_lab"), await world.job(), BIG * 40
    file = (await upload(lab, job, content)).json()["file"]
    of_component = f"/components/{world.ids['compose']}/files"
    component_file = (await client_of("blue_feeder").post(of_component, content=content)).json()["component_file"]
    paths = [f"/files/{file['id']}/content", f"{of_component}/{component_file['id']}/content"]
    for path in paths:
        seen.clear()

        whole = await lab.get(path)
        part = await lab.get(path, headers={"Range": "bytes=299990-300009"})
        head = await lab.head(path)
        known = await lab.get(path, headers={"If-None-Match": whole.headers["etag"]})

        assert (whole.content, part.content) == (content, content[299_990:300_010])
        assert (head.headers["content-length"], known.status_code) == (str(len(content)), 304)
        assert [(request.split()[0], *request.split()[2:]) for request in seen] == [
            ("GET", f"bytes=0-{len(content) - 1}"), ("GET", "bytes=299990-300009"), ("HEAD",),
        ]  # fmt: skip


async def test_a_reader_who_is_slower_than_the_bucket_waits_gets_everything(
    client_of: ClientOf, app: Application, world: World, s3: S3, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = BIG * 100
    file = (await upload(client_of("blue_lab"), await world.job(), content)).json()["file"]
    monkeypatch.setattr(object_store, "SECONDS_FOR_AN_ANSWER", 2)
    monkeypatch.setitem(object_store.RETRY, "max_retries", 0)
    async with watched(s3, prefix) as way:
        store = open_store(s3.url(prefix, way.url))

        received = bytearray()
        async for piece in await store.read(store_key(file["team_id"], file["job_id"], file["id"])):
            received += piece
            if len(way.requests) == 1:
                # Until the first answer has taken too long.
                await asyncio.sleep(0.1)

        assert bytes(received) == content
        assert len(way.requests) > 1
        assert way.requests[-1].endswith(f"-{len(content) - 1}")
