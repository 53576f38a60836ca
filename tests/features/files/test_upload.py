# SPDX-License-Identifier: Apache-2.0
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import ClientOf, World
from tests.signing import SignedBy

SMALL = 2_048
BIG = 300_000


def stored_objects(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, SMALL, 65_536, 65_537, BIG])
async def test_bytes_come_back_as_they_were_sent(client_of: ClientOf, world: World, size: int) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    content = bytes(n * 7 % 251 for n in range(size))

    response = await lab.post("/files", content=content, headers={"DCI-NAME": "a b.bin", "DCI-JOB-ID": job})

    assert response.status_code == 201
    file = response.json()["file"]
    assert (file["size"], file["name"], file["jobstate_id"], file["mime"]) == (size, "a b.bin", None, None)
    assert file["team_id"] == world.ids["Blue"]
    download = await lab.get(f"/files/{file['id']}/content")
    assert download.content == content
    assert download.headers["content-disposition"] == 'attachment; filename="a_b.bin"'
    assert download.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]
)
async def test_any_content_type_is_raw_bytes(client_of: ClientOf, world: World, content_type: str) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    headers = {"DCI-NAME": "x", "DCI-JOB-ID": job, "Content-Type": content_type}

    response = await lab.post("/files", content=b"a=1&b=2", headers=headers)

    assert response.json()["file"]["size"] == 7


async def test_a_body_without_length_is_streamed(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"y" * 30_000

    alice = client_of("alice")
    response = await alice.post("/files", content=chunks(), headers={"DCI-NAME": "x", "DCI-JOB-ID": job})

    assert response.json()["file"]["size"] == 150_000
    assert (await lab.get(f"/files/{response.json()['file']['id']}/content")).content == b"y" * 150_000


@pytest.mark.parametrize("size", [SMALL, BIG])
async def test_a_signature_over_other_bytes_leaves_nothing(
    client_of: ClientOf, world: World, tmp_path: Path, size: int
) -> None:
    job = await world.job()
    signed = SignedBy(f"remoteci/{world.ids['blue_lab']}", world.keys["blue_lab"], signed_body=b"something else")

    response = await client_of("blue_lab").post(
        "/files", content=b"x" * size, headers={"DCI-NAME": "x", "DCI-JOB-ID": job}, auth=signed
    )

    assert response.status_code == 401
    assert response.json()["message"] == "HmacMechanism failed: signature is invalid"
    assert await world.count("files") == 0
    assert stored_objects(tmp_path) == []


@pytest.mark.parametrize("size", [SMALL, BIG])
@pytest.mark.parametrize(
    ("who", "status"), [("alice", 201), ("admin", 201), ("epm", 201), ("reader", 401), ("bob", 401), ("red_lab", 401)]
)
async def test_who_uploads_to_a_blue_job(
    client_of: ClientOf, world: World, tmp_path: Path, who: str, status: int, size: int
) -> None:
    job = await world.job()

    response = await client_of(who).post("/files", content=b"x" * size, headers={"DCI-NAME": "x", "DCI-JOB-ID": job})

    assert response.status_code == status
    assert len(stored_objects(tmp_path)) == (1 if status == 201 and size == BIG else 0)


async def test_a_file_of_a_jobstate_is_found_below_it(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    state = (await lab.post("/jobstates", json={"job_id": job, "status": "running"})).json()["jobstate"]["id"]

    response = await lab.post("/files", content=b" ", headers={"DCI-NAME": "task", "DCI-JOBSTATE-ID": state})

    assert response.json()["file"]["job_id"] == job
    assert (await lab.get(f"/jobs/{job}")).json()["job"]["files"] == []
    states = (await lab.get(f"/jobs/{job}/jobstates")).json()["jobstates"]
    assert [file["name"] for file in states[0]["files"]] == ["task"]
    assert (await lab.get(f"/jobs/{job}/files")).json()["_meta"]["count"] == 1


async def test_a_jobstate_of_another_job_is_refused(client_of: ClientOf, world: World) -> None:
    lab, job, other = client_of("blue_lab"), await world.job(), await world.job()
    state = (await lab.post("/jobstates", json={"job_id": other, "status": "running"})).json()["jobstate"]["id"]

    response = await lab.post(
        "/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": job, "DCI-JOBSTATE-ID": state}
    )

    assert response.status_code == 400
    assert await world.count("files") == 0


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"DCI-NAME": "x"}, 400, "HTTP headers DCI-JOBSTATE-ID or DCI-JOB-ID must be specified"),
        ({"DCI-JOB-ID": "JOB"}, 400, "HTTP header DCI-NAME must be specified"),
        ({"DCI-NAME": "x", "DCI-JOB-ID": "7"}, 400, "HTTP header DCI-JOB-ID is not a UUID"),
        ({"DCI-NAME": "x", "DCI-JOB-ID": "00000000-0000-4000-8000-000000000000"}, 404, "job not found"),
        ({"DCI-NAME": "x", "DCI-JOBSTATE-ID": "00000000-0000-4000-8000-000000000000"}, 404, "jobstate not found"),
        ({"DCI-NAME": "x", "DCI-JOB-ID": "JOB", "DCI-MD5": "0" * 32}, 400, "DCI-MD5 says"),
        ({"DCI-NAME": "x" * 256, "DCI-JOB-ID": "JOB"}, 400, "255 characters"),
    ],
)
async def test_a_bad_announcement_is_explained(
    client_of: ClientOf, world: World, headers: dict[str, str], status: int, message: str
) -> None:
    job = await world.job()

    response = await client_of("blue_lab").post(
        "/files", content=b"x", headers={name: job if value == "JOB" else value for name, value in headers.items()}
    )

    assert response.status_code == status
    assert message in response.json()["message"]
    assert await world.count("files") == 0


async def test_a_matching_md5_is_kept(client_of: ClientOf, world: World) -> None:
    md5 = hashlib.md5(b"x").hexdigest()

    response = await client_of("blue_lab").post(
        "/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": await world.job(), "DCI-MD5": md5}
    )

    assert response.json()["file"]["md5"] == md5


async def test_a_utf8_name_survives(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    headers = [(b"DCI-NAME", "é.txt".encode()), (b"DCI-JOB-ID", (await world.job()).encode())]

    file = (await lab.post("/files", content=b"x", headers=headers)).json()["file"]

    assert file["name"] == "é.txt"
    disposition = (await lab.get(f"/files/{file['id']}/content")).headers["content-disposition"]
    assert disposition == "attachment; filename=\"e.txt\"; filename*=UTF-8''%C3%A9.txt"


@pytest.mark.parametrize("call", ["", "/content", "/junit"])
@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("reader", 200), ("bob", 401), ("nobody", 401)])
async def test_who_reads_a_blue_file(client_of: ClientOf, world: World, call: str, who: str, status: int) -> None:
    upload = await client_of("blue_lab").post(
        "/files", content=b"<testsuite/>", headers={"DCI-NAME": "x", "DCI-JOB-ID": await world.job()}
    )

    response = await client_of(who).get(f"/files/{upload.json()['file']['id']}{call}")

    assert response.status_code == status


async def test_a_file_that_the_store_lost_is_not_found(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    lab = client_of("blue_lab")
    upload = await lab.post("/files", content=b"x" * BIG, headers={"DCI-NAME": "x", "DCI-JOB-ID": await world.job()})
    for path in stored_objects(tmp_path):
        path.unlink()

    response = await lab.get(f"/files/{upload.json()['file']['id']}/content")

    assert response.status_code == 404
