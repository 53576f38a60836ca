# SPDX-License-Identifier: Apache-2.0
"""Uploads that are compressed on their way: kept as they were, and no way to fill a disk with a few bytes."""

import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import ClientOf, World
from tests.signing import SignedBy

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1024 * 1024
TEXT = b"".join(b"line %d of a log\n" % number for number in range(30_000))
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}


def wide_window(content: bytes) -> bytes:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(content) + compressor.flush()


async def upload(client: httpx.AsyncClient, job: str, body: bytes, encoding: str, **headers: str) -> httpx.Response:
    said = {"DCI-NAME": "x", "DCI-JOB-ID": job, "Content-Encoding": encoding}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/files", content=body, headers={**said, **more})


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_what_was_compressed_is_kept_as_it_was(client_of: ClientOf, world: World, encoding: str) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    for content in (b"", b"x", TEXT[:2000], TEXT):
        md5 = hashlib.md5(content).hexdigest()

        response = await upload(lab, job, ENCODINGS[encoding](content), encoding.upper(), DCI_MD5=md5)

        assert response.status_code == 201, response.text
        file = response.json()["file"]
        kept = await world.db.fetchval("select sha256 from files where id = $1", file["id"])
        assert (file["size"], file["md5"], kept) == (len(content), md5, hashlib.sha256(content).hexdigest())
        assert (await lab.get(f"/files/{file['id']}/content")).content == content


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [2000, len(TEXT)])
async def test_the_md5_is_that_of_the_file_and_not_of_what_was_sent(
    client_of: ClientOf, world: World, tmp_path: Path, encoding: str, size: int
) -> None:
    sent = ENCODINGS[encoding](TEXT[:size])
    said, right = hashlib.md5(sent).hexdigest(), hashlib.md5(TEXT[:size]).hexdigest()

    response = await upload(client_of("blue_lab"), await world.job(), sent, encoding, DCI_MD5=said)

    assert response.status_code == 400
    assert said in response.json()["message"]
    assert right in response.json()["message"]
    assert await world.count("files") == 0
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_several_frames_are_one_file(client_of: ClientOf, world: World, encoding: str) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    frames = [ENCODINGS[encoding](TEXT[start : start + 1000]) for start in range(0, len(TEXT), 1000)]

    file = (await upload(lab, job, b"".join(frames), encoding)).json()["file"]
    empty = (await upload(lab, job, ENCODINGS[encoding](b"") * 20_000, encoding)).json()["file"]

    assert (await lab.get(f"/files/{file['id']}/content")).content == TEXT
    assert empty["size"] == 0


async def test_a_file_of_a_component_may_be_compressed_too(client_of: ClientOf, world: World) -> None:
    feeder, path = client_of("blue_feeder"), f"/components/{world.ids['compose']}/files"

    response = await feeder.post(path, content=gzip.compress(TEXT), headers={"Content-Encoding": "gzip"})

    file = response.json()["component_file"]
    assert file["size"] == len(TEXT)
    assert (await feeder.get(f"{path}/{file['id']}/content")).content == TEXT


async def test_a_compressed_report_is_read(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    report = b"<testsuite>" + b'<testcase name="a" classname="b" time="1"/>' * 5000 + b"</testsuite>"

    response = await upload(lab, job, zstd.compress(report), "zstd", DCI_MIME="application/junit")

    assert response.status_code == 201
    assert (await lab.get(f"/jobs/{job}/results")).json()["results"][0]["total"] == 5000


@pytest.mark.parametrize("encoding", ["identity", ""])
async def test_a_body_may_say_that_it_is_not_compressed(client_of: ClientOf, world: World, encoding: str) -> None:
    response = await upload(client_of("blue_lab"), await world.job(), gzip.compress(b"x"), encoding)

    assert response.json()["file"]["size"] == len(gzip.compress(b"x"))


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "compress"])
async def test_another_encoding_is_refused_with_those_that_are_not(
    client_of: ClientOf, world: World, encoding: str
) -> None:
    response = await upload(client_of("blue_lab"), await world.job(), TEXT, encoding)

    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, zstd")
    assert await world.count("files") == 0


BROKEN = {
    "gzip": {
        "truncated": gzip.compress(TEXT)[:-9],
        "without checksum": gzip.compress(TEXT)[:-8] + bytes(8),
        "no gzip": TEXT,
        "garbage behind": gzip.compress(TEXT) + b"garbage",
        "zlib": zlib.compress(TEXT),
        "a second one truncated": gzip.compress(TEXT) + gzip.compress(TEXT)[:20],
        "a head": gzip.compress(TEXT)[:4],
    },
    "zstd": {
        "truncated": zstd.compress(TEXT)[:-1],
        "no zstd": TEXT,
        "garbage behind": zstd.compress(TEXT) + b"garbage",
        "a wide window": wide_window(TEXT),
        "a head": zstd.compress(TEXT)[:3],
    },
}


@pytest.mark.parametrize("encoding", BROKEN)
async def test_a_broken_stream_is_refused_and_leaves_nothing(
    client_of: ClientOf, world: World, tmp_path: Path, encoding: str
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    for name, body in BROKEN[encoding].items():
        response = await upload(lab, job, body, encoding)

        assert response.status_code == 400, name
        assert encoding in response.json()["message"]
    assert await world.count("files") == 0
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_bomb_is_refused_and_leaves_nothing(
    client_of: ClientOf, world: World, tmp_path: Path, encoding: str
) -> None:
    response = await upload(client_of("blue_lab"), await world.job(), ENCODINGS[encoding](bytes(64 * MIB)), encoding)

    assert response.status_code == 413
    assert "200 times" in response.json()["message"]
    assert await world.count("files") == 0
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_a_compressed_body_is_protected_by_its_signature(client_of: ClientOf, world: World) -> None:
    """What is signed is what is on the wire: other bytes with the same content are others."""
    signed = SignedBy(f"remoteci/{world.ids['blue_lab']}", world.keys["blue_lab"], signed_body=gzip.compress(TEXT, 1))
    headers = {"DCI-NAME": "x", "DCI-JOB-ID": await world.job(), "Content-Encoding": "gzip"}

    response = await client_of("blue_lab").post("/files", content=gzip.compress(TEXT, 9), headers=headers, auth=signed)

    assert response.status_code == 401
    assert await world.count("files") == 0
