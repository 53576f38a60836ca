# SPDX-License-Identifier: Apache-2.0
"""What a file in its row, a file in the store, a component's file and a file of its tree have in common when read."""

from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from tests.conftest import ClientOf, World

SMALL, BIG = 2_000, 200_000
KINDS = ["small", "big", "of component", "of tree", "by v2"]


def content(size: int) -> bytes:
    return bytes(n * 7 % 251 for n in range(size))


class Place:
    """Where some bytes can be read."""

    def __init__(self, client: httpx.AsyncClient, path: str, size: int) -> None:
        self.client, self.path, self.bytes = client, path, content(size)

    async def get(self, method: str = "GET", **headers: str) -> httpx.Response:
        return await self.client.request(
            method, self.path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )


async def upload(client: httpx.AsyncClient, job: str, bytes_: bytes, name: str = "x") -> str:
    named = [(b"DCI-NAME", name.encode()), (b"DCI-JOB-ID", job.encode())]
    response = await client.post("/files", content=bytes_, headers=named)
    assert response.status_code == 201, response.text
    return response.json()["file"]["id"]


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, client_of: ClientOf, world: World, tmp_path: Path) -> Place:
    epm, component = client_of("epm"), world.ids["compose"]
    size = SMALL if request.param == "small" else BIG
    if request.param == "of component":
        uploaded = await epm.post(f"/components/{component}/files", content=content(size))
        path = f"/components/{component}/files/{uploaded.json()['component_file']['id']}/content"
    elif request.param == "of tree":
        target = tmp_path / "files" / "components" / component / "a" / "b"
        target.parent.mkdir(parents=True)
        target.write_bytes(content(size))
        path = f"/components/{component}/files/a/b"
    else:
        path = f"/files/{await upload(client_of('blue_lab'), await world.job(), content(size))}/content"
    return Place(epm, f"http://dci.test/api/{'v2' if request.param == 'by v2' else 'v1'}{path}", size)


async def test_all_of_it_is_described(place: Place) -> None:
    whole, head = await place.get(), await place.get("HEAD")

    assert (whole.status_code, whole.content) == (200, place.bytes)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == whole.headers
    assert whole.headers["content-length"] == str(len(place.bytes))
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["etag"].startswith('"')
    assert whole.headers["last-modified"].endswith(" GMT")
    assert whole.headers["cache-control"] == "private, no-store"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"] == "sandbox"


PARTS = [
    ("bytes=0-0", 0, 0),
    ("bytes=10-19", 10, 19),
    ("Bytes = 5-6 ", 5, 6),
    ("bytes=1990-", 1990, -1),
    ("bytes=-7", -7, -1),
    ("bytes=1-999999999999999999999", 1, -1),
    ("bytes=0-", 0, -1),
    ("bytes=-999999999", 0, -1),
]
NO_PARTS = ["bytes=5-1", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "x"]
BEYOND_THE_END = ["bytes=200000-", "bytes=999999-1000000", "bytes=-0"]


async def test_a_part_is_what_a_slice_is(place: Place) -> None:
    for asked, first, last in PARTS:
        response, size = await place.get(Range=asked), len(place.bytes)

        start, end = first % size, last % size
        assert (response.status_code, response.content) == (206, place.bytes[start : end + 1]), asked
        assert response.headers["content-range"] == f"bytes {start}-{end}/{size}"
        assert response.headers["content-length"] == str(end + 1 - start)


async def test_what_is_no_part_is_all_of_it(place: Place) -> None:
    for asked in NO_PARTS:
        response = await place.get(Range=asked)

        assert (response.status_code, response.content) == (200, place.bytes), asked
        assert "content-range" not in response.headers


async def test_a_part_beyond_the_end_is_refused_with_the_size(place: Place) -> None:
    for asked in BEYOND_THE_END:
        response = await place.get(Range=asked)

        assert response.status_code == 416, asked
        assert response.headers["content-range"] == f"bytes */{len(place.bytes)}"
        assert f"{len(place.bytes)} bytes" in response.json()["message"]


async def test_head_knows_no_parts(place: Place) -> None:
    response = await place.get("HEAD", Range="bytes=0-1")

    assert (response.status_code, response.headers["content-length"]) == (200, str(len(place.bytes)))


CONDITIONS = [
    ({"If_None_Match": "ETAG"}, 304),
    ({"If_None_Match": '"other", W/ETAG'}, 304),
    ({"If_None_Match": "*"}, 304),
    ({"If_None_Match": '"other"'}, 200),
    ({"If_None_Match": '"other"', "If_Modified_Since": "DATE"}, 200),
    ({"If_Modified_Since": "DATE"}, 304),
    ({"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
    ({"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
    ({"If_Modified_Since": "yesterday"}, 200),
    ({"If_Modified_Since": "Fri, 31 Feb 2100 99:00:00 GMT"}, 200),
    ({"If_Match": '"anything"'}, 200),
]
WHAT_A_CALLER_HAS = [("ETAG", 206), ("DATE", 206), ('"other"', 200), ("W/ETAG", 200), ("yesterday", 200)]


def filled(text: str, known: httpx.Headers) -> str:
    return text.replace("ETAG", known["etag"]).replace("DATE", known["last-modified"])


async def test_what_the_caller_has_is_not_sent_again(place: Place) -> None:
    known = (await place.get("HEAD")).headers
    for conditions, status in CONDITIONS:
        for method in ("GET", "HEAD"):
            response = await place.get(method, **{name: filled(value, known) for name, value in conditions.items()})

            assert response.status_code == status, conditions
            assert response.headers["etag"] == known["etag"]
            assert ("content-length" in response.headers) == (status == 200)
            assert response.content == (place.bytes if (method, status) == ("GET", 200) else b"")


async def test_a_part_fits_to_what_the_caller_has_or_all_is_sent(place: Place) -> None:
    known = (await place.get("HEAD")).headers
    for have, status in WHAT_A_CALLER_HAS:
        response = await place.get(Range="bytes=0-9", If_Range=filled(have, known))

        assert response.status_code == status, have
        assert response.content == (place.bytes[:10] if status == 206 else place.bytes)


async def test_of_nothing_there_is_no_part(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    path = f"/files/{await upload(lab, await world.job(), b'')}/content"

    whole = await lab.get(path)
    parts = [await lab.get(path, headers={"Range": asked}) for asked in ("bytes=0-", "bytes=-1")]

    assert (whole.status_code, whole.content) == (200, b"")
    assert [part.status_code for part in parts] == [416, 416]


NAMES = [
    ("a b.txt", "a_b.txt"),
    ('say "hi".txt', r"say_\"hi\".txt"),
    ("back\\slash", r"back\\slash"),
    ("failed/Install", "failed/Install"),
    ("100%25.txt", "100%25.txt"),
    ("résumé.txt", "resume.txt"),
    ("日本.log", "__.log"),
    ("", ""),
]


async def test_any_name_survives_a_download(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    for name, plain in NAMES:
        file = await upload(lab, job, b"x", name)

        disposition = (await lab.get(f"/files/{file}/content")).headers["content-disposition"]

        quoted, _, extended = disposition.partition("; filename*=UTF-8''")
        assert quoted == f'attachment; filename="{plain}"'
        assert bool(extended) == (not name.isascii() or "%" in name)
        if extended:
            assert unquote(extended) == name.replace(" ", "_")


async def test_a_name_that_was_imported_cannot_forge_a_header(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    file = await upload(lab, await world.job(), b"x")
    await world.db.execute("update files set name = e'a\\r\\nSet-Cookie: b'")

    response = await lab.get(f"/files/{file}/content")

    assert response.headers["content-disposition"] == 'attachment; filename="a__Set-Cookie:_b"'


TYPES = [
    (None, "text/plain; charset=utf-8"),
    ("text/html", "text/html; charset=utf-8"),
    ("text/html; charset=latin-1", "text/html; charset=latin-1"),
    ("application/junit", "application/junit"),
]


async def test_a_download_has_the_type_that_was_announced(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    for mime, content_type in TYPES:
        headers = {"DCI-NAME": "x", "DCI-JOB-ID": job, **({"DCI-MIME": mime} if mime else {})}
        file = (await lab.post("/files", content=b"<testsuite/>", headers=headers)).json()["file"]

        response = await lab.get(f"/files/{file['id']}/content")

        assert response.headers["content-type"] == content_type
