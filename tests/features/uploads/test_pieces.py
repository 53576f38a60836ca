# SPDX-License-Identifier: Apache-2.0
"""A file that arrives in pieces, as the TUS protocol has it."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from dci_server.features.uploads import model
from dci_server.features.uploads.upkeep import look_after_uploads
from dci_server.foundation.http import Application
from dci_server.foundation.storage.removal import remove_due
from tests.conftest import ClientOf, World
from tests.signing import SignedBy

CONTENT = bytes(n * 7 % 251 for n in range(300_000))
JUNIT = b'<testsuite name="all" tests="1"><testcase name="one" classname="a"/></testsuite>'
VERSION = {"Tus-Resumable": "1.0.0"}


def metadata(**pairs: str | bytes) -> str:
    encoded = {key: value.encode() if isinstance(value, str) else value for key, value in pairs.items()}
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in encoded.items())


async def opened(
    client: httpx.AsyncClient, job: str, size: int, content: bytes | None = None, **more: str
) -> httpx.Response:
    headers = {**VERSION, "Upload-Length": str(size), "Upload-Metadata": metadata(job_id=job, filename="big", **more)}
    if content is not None:
        headers["Content-Type"] = "application/offset+octet-stream"
    return await client.post("/uploads", headers=headers, content=content or b"")


async def place(client: httpx.AsyncClient, job: str, size: int, **more: str) -> str:
    response = await opened(client, job, size, None, **more)
    assert response.status_code == 201, response.text
    return f"http://dci.test{response.headers['location']}"


async def sent(
    client: httpx.AsyncClient,
    where: str,
    offset: int,
    content: bytes | AsyncIterator[bytes],
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    return await client.patch(where, headers={**piece_at(offset), **(headers or {})}, content=content)


def piece_at(offset: int) -> dict[str, str]:
    return {**VERSION, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}


async def offset_of(client: httpx.AsyncClient, where: str) -> str:
    return (await client.head(where, headers=VERSION)).headers["upload-offset"]


def objects(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


async def nothing_is_left_over(app: Application) -> None:
    assert app.services is not None
    await remove_due(app.services.db, app.services.store)


@pytest.mark.parametrize("who", ["blue_lab", "alice", "blue_feeder"])
async def test_pieces_become_the_file_that_one_upload_would_be(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, who: str
) -> None:
    client, job = client_of(who), await world.job()
    etag = (await client.get(f"/jobs/{job}")).json()["job"]["etag"]
    md5 = hashlib.md5(CONTENT).hexdigest()

    where = await place(client, job, len(CONTENT), filetype="application/x-tar", md5=md5)
    first = await sent(client, where, 0, CONTENT[:100_000])
    head = await client.head(where, headers=VERSION)
    second = await sent(client, where, 100_000, CONTENT[100_000:])

    assert (first.status_code, first.headers["upload-offset"]) == (204, "100000")
    assert "dci-file-id" not in first.headers
    assert (head.status_code, head.headers["upload-offset"], head.headers["upload-length"]) == (204, "100000", "300000")
    assert head.headers["upload-metadata"] == metadata(
        job_id=job, filename="big", filetype="application/x-tar", md5=md5
    )
    assert head.headers["cache-control"] == "no-store"
    assert (second.status_code, second.headers["upload-offset"]) == (204, "300000")
    file = (await client.get(f"/files/{second.headers['dci-file-id']}")).json()["file"]
    assert {key: file[key] for key in ("name", "mime", "md5", "size", "job_id", "jobstate_id", "team_id")} == {
        "name": "big",
        "mime": "application/x-tar",
        "md5": md5,
        "size": len(CONTENT),
        "job_id": job,
        "jobstate_id": None,
        "team_id": world.ids["Blue"],
    }
    assert (await client.get(f"/files/{file['id']}/content")).content == CONTENT
    assert await world.db.fetchval("select sha256 from files") == hashlib.sha256(CONTENT).hexdigest()
    assert (await client.get(f"/jobs/{job}")).json()["job"]["etag"] != etag
    await nothing_is_left_over(app)
    assert len(objects(tmp_path)) == 1
    assert (await client.head(where, headers=VERSION)).headers["dci-file-id"] == file["id"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
async def test_the_first_piece_may_come_with_the_opening(client_of: ClientOf, world: World, size: int) -> None:
    lab, job = client_of("blue_lab"), await world.job()

    response = await opened(lab, job, size, CONTENT[:size])

    assert (response.status_code, response.headers["upload-offset"]) == (201, str(size))
    content = await lab.get(f"/files/{response.headers['dci-file-id']}/content")
    assert content.content == CONTENT[:size]


async def test_a_report_has_its_tests_counted(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, len(JUNIT), mime="application/junit")

    await sent(lab, where, 0, JUNIT[:20])
    await sent(lab, where, 20, JUNIT[20:])

    (result,) = (await lab.get(f"/jobs/{job}/results")).json()["results"]
    assert (result["total"], result["success"]) == (1, 1)


async def test_the_file_is_told_as_the_doing_of_who_opened_the_upload(
    app: Application, client_of: ClientOf, world: World
) -> None:
    lab, alice, job = client_of("blue_lab"), client_of("alice"), await world.job()
    await sent(lab, await place(alice, job, 4), 0, b"four")
    await sent(lab, await place(lab, job, len(JUNIT) + 1, mime="application/junit"), 0, JUNIT)
    # Its client goes away, and the server finishes it.
    await world.db.execute("update uploads set length = received")
    assert app.services is not None

    await look_after_uploads(app.services)

    events = (await alice.get(f"/jobs/{job}/events")).json()["events"]
    told = [(event["type"], event["actor_id"]) for event in events if event["subject"]["kind"] == "file"]
    assert told == [
        ("file_uploaded", world.ids["user alice"]),
        ("file_uploaded", world.ids["blue_lab"]),
        ("results_stored", world.ids["blue_lab"]),
    ]


async def test_a_report_that_cannot_be_read_is_kept_as_a_file(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()

    refused = await opened(lab, job, 4, b"<no>", mime="application/junit")

    assert refused.status_code == 400
    assert [file["id"] for file in (await lab.get(f"/jobs/{job}/files")).json()["files"]] == [
        refused.json()["payload"]["file_id"]
    ]
    assert await world.db.fetchval("select file_id::text from uploads") == refused.json()["payload"]["file_id"]


async def test_a_file_of_a_jobstate(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    state = (await lab.post("/jobstates", json={"job_id": job, "status": "running"})).json()["jobstate"]["id"]
    headers = {**VERSION, "Upload-Length": "0", "Upload-Metadata": metadata(jobstate_id=state, name="näme".encode())}

    response = await lab.post("/uploads", headers=headers)

    file = (await lab.get(f"/files/{response.headers['dci-file-id']}")).json()["file"]
    assert (file["jobstate_id"], file["job_id"], file["name"]) == (state, job, "näme")


@pytest.mark.parametrize(("who", "status"), [("blue_lab", 409), ("alice", 409)])
async def test_a_piece_for_another_place_is_refused(
    client_of: ClientOf, world: World, tmp_path: Path, who: str, status: int
) -> None:
    client, job = client_of(who), await world.job()
    where = await place(client, job, 100)
    await sent(client, where, 0, b"x" * 10)

    for offset in (0, 9, 11, 100):
        assert (await sent(client, where, offset, b"y" * 10)).status_code == status

    assert await offset_of(client, where) == "10"
    assert len(objects(tmp_path)) == 1


async def test_of_two_pieces_for_one_place_one_is_kept(client_of: ClientOf, world: World, app: Application) -> None:
    alice, job = client_of("alice"), await world.job()
    where = await place(alice, job, 20)
    both_have_begun = asyncio.Barrier(2)

    async def slowly(content: bytes) -> AsyncIterator[bytes]:
        yield content[:5]
        await both_have_begun.wait()
        yield content[5:]

    answers = await asyncio.gather(*(sent(alice, where, 0, slowly(byte * 10)) for byte in (b"a", b"b")))

    assert sorted(answer.status_code for answer in answers) == [204, 409]
    last = await sent(alice, where, 10, b"c" * 10)
    winner = b"ab"[answers[0].status_code != 204 :][:1]
    content = (await alice.get(f"/files/{last.headers['dci-file-id']}/content")).content
    assert content == winner * 10 + b"c" * 10


async def test_bytes_beyond_the_announced_length_are_refused(client_of: ClientOf, world: World) -> None:
    alice, job = client_of("alice"), await world.job()
    where = await place(alice, job, 10)

    async def unannounced() -> AsyncIterator[bytes]:
        yield b"x" * 11

    assert (await sent(alice, where, 0, b"x" * 11)).status_code == 413
    assert (await sent(alice, where, 0, unannounced())).status_code == 413
    assert (await sent(client_of("blue_lab"), where, 0, b"x" * 11)).status_code == 413
    assert await offset_of(alice, where) == "0"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_a_damaged_piece_is_not_kept(client_of: ClientOf, world: World, tmp_path: Path, algorithm: str) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    checksum = base64.b64encode(hashlib.new(algorithm, b"x" * 10).digest()).decode()

    damaged = await sent(lab, where, 0, b"y" * 10, {"Upload-Checksum": f"{algorithm} {checksum}"})

    assert (damaged.status_code, damaged.json()["status_code"]) == (460, 460)
    assert (await offset_of(lab, where), objects(tmp_path)) == ("0", [])
    whole = await sent(lab, where, 0, b"x" * 10, {"Upload-Checksum": f"{algorithm} {checksum}"})
    assert whole.status_code == 204


async def test_a_file_with_another_md5_is_no_file(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10, md5="0" * 32)

    refused = await sent(lab, where, 0, b"x" * 10)

    assert (refused.status_code, "DCI-MD5 says" in refused.text) == (400, True)
    assert (await lab.head(where, headers=VERSION)).status_code == 404
    await nothing_is_left_over(app)
    assert ([await world.count(table) for table in ("files", "uploads")], objects(tmp_path)) == ([0, 0], [])


async def test_a_signature_over_other_bytes_adds_nothing(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    forged = SignedBy(f"remoteci/{world.ids['blue_lab']}", world.keys["blue_lab"], signed_body=b"something else")

    response = await lab.patch(where, headers=piece_at(0), content=b"x" * 5, auth=forged)

    assert response.status_code == 401
    assert (await offset_of(lab, where), objects(tmp_path)) == ("0", [])


async def test_an_upload_that_is_ended_gives_its_bytes_back(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    await sent(lab, where, 0, b"x" * 5)

    ended = await lab.delete(where, headers=VERSION)

    assert ended.status_code == 204
    await nothing_is_left_over(app)
    assert objects(tmp_path) == []
    assert (await lab.head(where, headers=VERSION)).status_code == 404
    assert (await sent(lab, where, 5, b"x" * 5)).status_code == 404


async def test_a_file_outlives_its_upload(client_of: ClientOf, app: Application, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    response = await opened(lab, job, 4, b"text")

    await lab.delete(f"http://dci.test{response.headers['location']}", headers=VERSION)

    assert (await lab.get(f"/files/{response.headers['dci-file-id']}/content")).content == b"text"


async def test_an_upload_that_nobody_continues_expires(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    kept = await sent(lab, where, 0, b"x" * 5)
    expires_at = await world.db.fetchval("select date_trunc('second', expires_at) from uploads")
    await world.db.execute("update uploads set expires_at = utc_now()")

    before_the_sweep = await sent(lab, where, 5, b"x" * 5)
    assert app.services is not None
    await look_after_uploads(app.services)

    assert parsedate_to_datetime(kept.headers["upload-expires"]).replace(tzinfo=None) == expires_at
    assert before_the_sweep.status_code == 404
    await nothing_is_left_over(app)
    assert (await world.count("uploads"), objects(tmp_path)) == (0, [])


async def test_the_bytes_go_with_the_job(client_of: ClientOf, app: Application, world: World, tmp_path: Path) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    await sent(lab, await place(lab, job, 10), 0, b"x" * 5)
    await world.db.execute("update jobs set state = 'archived'")

    await client_of("admin").post("/jobs/purge")

    assert (await world.count("uploads"), objects(tmp_path)) == (0, [])


async def test_a_job_that_is_archived_meanwhile_gets_no_file(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    await world.db.execute("update jobs set state = 'archived'")

    refused = await sent(lab, where, 0, b"x" * 10)

    assert (refused.status_code, refused.json()["message"]) == (404, "job not found")
    assert [await world.count(table) for table in ("uploads", "files")] == [0, 0]


async def test_a_whole_upload_whose_client_is_gone_becomes_a_file(
    client_of: ClientOf, app: Application, world: World
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    await sent(lab, where, 0, b"x" * 5)
    # As a server leaves it that is killed after the last piece: it had begun to make the file, and its time has run out.
    await world.db.execute("update uploads set length = 5, finisher = gen_random_uuid(), finisher_until = utc_now()")
    assert app.services is not None

    await look_after_uploads(app.services)

    (file,) = (await lab.get(f"/jobs/{job}/files")).json()["files"]
    assert (await lab.head(where, headers=VERSION)).headers["dci-file-id"] == file["id"]
    assert (await lab.get(f"/files/{file['id']}/content")).content == b"xxxxx"


async def test_who_asks_while_the_file_is_made_is_told_to_ask_again(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dci_server.features.uploads.routes.PATIENCE", 0)
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 10)
    await sent(lab, where, 0, b"x" * 5)
    await world.db.execute(
        """update uploads set length = 5, finisher = gen_random_uuid(), finisher_until = utc_now() + interval '1 minute'"""
    )

    assert (await lab.head(where, headers=VERSION)).status_code == 423
    assert await world.count("files") == 0


async def test_a_team_has_a_bounded_number_of_unfinished_uploads(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dci_server.features.uploads.queries.MOST_OPEN", 1)
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 1)

    refused = await opened(lab, job, 1)

    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert (await opened(client_of("red_lab"), await world.job("red_lab"), 1)).status_code == 201
    await sent(lab, where, 0, b"x")
    assert (await opened(lab, job, 1)).status_code == 201


async def test_a_file_has_a_bounded_number_of_pieces(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dci_server.features.uploads.queries.MOST_PIECES", 1)
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 2)
    await sent(lab, where, 0, b"x")

    refused = await sent(lab, where, 1, b"x")

    assert (refused.status_code, "bigger ones" in refused.text) == (413, True)


async def test_a_file_that_is_announced_as_too_large_is_refused_at_once(
    client_of: ClientOf, app: Application, world: World
) -> None:
    assert app.services is not None
    app.services.max_upload_bytes = 10
    lab, job = client_of("blue_lab"), await world.job()

    assert (await opened(lab, job, 11)).status_code == 413
    assert (await opened(lab, job, 10)).status_code == 201
    assert (await lab.options("/uploads")).headers["tus-max-size"] == "10"


async def test_what_the_server_can_is_told_to_everybody(client_of: ClientOf) -> None:
    response = await client_of("stranger").options("/uploads")

    told = {name: response.headers[name] for name in ("tus-resumable", "tus-version", "tus-extension")}
    assert told == {"tus-resumable": "1.0.0", "tus-version": "1.0.0", "tus-extension": model.EXTENSIONS}
    assert response.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert "Upload-Offset" in response.headers["access-control-allow-headers"]
    assert "Location" in response.headers["access-control-expose-headers"]


async def test_a_refusal_speaks_the_protocol_too(client_of: ClientOf) -> None:
    response = await client_of("stranger").patch(f"/uploads/{'0' * 32}")

    assert (response.status_code, response.headers["tus-resumable"]) == (401, "1.0.0")
    assert "Upload-Offset" in response.headers["access-control-expose-headers"]


BAD_OPENINGS: list[tuple[dict[str, str], int]] = [
    ({"Content-Encoding": "gzip"}, 415),
    ({"Tus-Resumable": "0.2.2"}, 412),
    ({"Tus-Resumable": ""}, 412),
    ({"Upload-Length": ""}, 400),
    ({"Upload-Length": "-1"}, 400),
    ({"Upload-Length": "9" * 19}, 400),
    ({"Upload-Length": "²"}, 400),
    ({"Upload-Defer-Length": "1"}, 400),
    ({"Upload-Metadata": ""}, 400),
    ({"Upload-Metadata": metadata(name="x")}, 400),
    ({"Upload-Metadata": metadata(job_id="no id", name="x")}, 400),
    ({"Upload-Metadata": metadata(job_id="00000000-0000-4000-8000-000000000000", name="x")}, 404),
    ({"Upload-Metadata": metadata(jobstate_id="00000000-0000-4000-8000-000000000000", name="x")}, 404),
    ({"Upload-Metadata": metadata(job_id="00000000-0000-4000-8000-000000000000", name="x" * 256)}, 400),
    ({"Upload-Metadata": metadata(job_id="00000000-0000-4000-8000-000000000000", name="a\x00b")}, 400),
    ({"Upload-Metadata": metadata(job_id="00000000-0000-4000-8000-000000000000", name="x", mime="a\nb")}, 400),
    ({"Upload-Metadata": metadata(job_id="00000000-0000-4000-8000-000000000000", name="x", md5="?")}, 400),
    ({"Upload-Metadata": "job_id ???"}, 400),
    ({"Upload-Metadata": "job_id,,"}, 400),
    ({"Upload-Metadata": "job_id " + "A" * 5_000}, 400),
    ({"Upload-Checksum": "crc32 AAAA"}, 400),
    ({"Upload-Checksum": "sha1 ?"}, 400),
]


@pytest.mark.parametrize("who", ["alice", "blue_lab"])
async def test_what_cannot_be_opened(client_of: ClientOf, world: World, who: str) -> None:
    client, job = client_of(who), await world.job()
    good = {**VERSION, "Upload-Length": "1", "Upload-Metadata": metadata(job_id=job, name="x")}
    wrong: list[str] = []

    for headers, status in BAD_OPENINGS:
        response = await client.post("/uploads", headers=httpx.Headers({**good, **headers}, encoding="latin-1"))
        if (response.status_code, response.json()["status_code"]) != (status, status):
            wrong.append(f"{headers}: {response.status_code} {response.text}")

    assert wrong == []
    assert await world.count("uploads") == 0


BAD_PIECES: list[tuple[dict[str, str], int]] = [
    ({"Content-Encoding": "zstd"}, 415),
    ({"Tus-Resumable": "2"}, 412),
    ({"Content-Type": "application/octet-stream"}, 415),
    ({"Upload-Offset": ""}, 400),
    ({"Upload-Offset": "x"}, 400),
    ({"Upload-Checksum": "sha1"}, 460),
]


async def test_what_is_no_piece(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    where = await place(lab, job, 1)
    wrong: list[str] = []

    for headers, status in BAD_PIECES:
        response = await sent(lab, where, 0, b"x", headers)
        if response.status_code != status:
            wrong.append(f"{headers}: {response.status_code} {response.text}")

    assert wrong == []
    assert await offset_of(lab, where) == "0"
