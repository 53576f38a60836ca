# SPDX-License-Identifier: Apache-2.0
import asyncio

import msgspec
import pytest

from dci_server.features.test_results.junit import Case, JunitParser, Summary
from dci_server.features.test_results.model import Report, ResultsAnswer
from tests.conftest import ClientOf, World

REPORT = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="one">
    <properties><property name="kernel" value="6.12"/></properties>
    <testcase classname="c" name="passes" time="1.25"/>
    <testcase classname="c" name="fails" time="2"><failure type="E" message="m">Traceback &lt;1&gt;</failure></testcase>
    <testcase classname="c" name="breaks"><error/></testcase>
  </testsuite>
  <testsuite name="two"><testcase classname="d" name="skips"><skipped/><system-out>out</system-out></testcase></testsuite>
</testsuites>
"""


async def upload(client_of: ClientOf, job: str, content: bytes, name: str = "report") -> tuple[int, dict[str, object]]:
    response = await client_of("blue_lab").post(
        "/files", content=content, headers={"DCI-NAME": name, "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
    )
    return response.status_code, response.json()


async def test_an_uploaded_report_is_counted(client_of: ClientOf, world: World) -> None:
    job = await world.job()

    status, _ = await upload(client_of, job, REPORT)

    assert status == 201
    answer = (await client_of("alice").get(f"/jobs/{job}/results")).content
    (result,) = msgspec.json.decode(answer, type=ResultsAnswer).results
    assert (result.total, result.success, result.failures, result.errors, result.skips) == (4, 1, 1, 1, 1)
    assert (result.time, result.name, result.filename) == (3, "report", "report")
    embedded = (await client_of("alice").get(f"/jobs/{job}")).json()["job"]["results"]
    assert embedded[0]["total"] == 4


@pytest.mark.parametrize("padding", [0, 100_000])
async def test_a_report_is_read_back_with_its_texts(client_of: ClientOf, world: World, padding: int) -> None:
    _, body = await upload(client_of, await world.job(name="nightly"), REPORT + b"<!--" + b"x" * padding + b"-->")
    file_id = body["file"]["id"]  # type: ignore[index]

    answer = await client_of("alice").get(f"/files/{file_id}/junit")

    report = msgspec.json.decode(answer.content, type=Report)
    one, two = report.testsuites
    assert report.job.name == "nightly"
    assert (one.tests, one.failures, one.errors, one.time, one.additions) == (3, 1, 1, 3.25, 3)
    assert [case.name for case in one.testcases] == ["breaks", "fails", "passes"]
    assert one.testcases[1].value == "Traceback <1>"
    assert (one.testcases[1].type, one.testcases[1].message) == ("E", "m")
    assert one.properties[0].name == "kernel"
    assert two.testcases[0].stdout == "out"


@pytest.mark.parametrize(
    "content",
    [b"not xml", REPORT[:-5], b"<a><b></a>", b"<!DOCTYPE x [<!ENTITY a 'b'><!ENTITY c '&a;&a;'>]><testsuite>&c;</testsuite>",
     b"<testsuite><testcase name='\xff'/></testsuite>", b"<a/><b/>"],
)  # fmt: skip
async def test_what_cannot_be_read_is_kept_once_and_explained(
    client_of: ClientOf, world: World, content: bytes
) -> None:
    job = await world.job()

    first_status, first = await upload(client_of, job, content)
    _, second = await upload(client_of, job, content)

    assert first_status == 400
    assert str(first["message"]).startswith("Invalid XML: ")
    assert "line" in str(first["message"])
    assert first["payload"] == second["payload"]
    files = (await client_of("alice").get(f"/jobs/{job}/files")).json()["files"]
    assert [file["id"] for file in files] == [first["payload"]["file_id"]]  # type: ignore[index]
    assert (await client_of("alice").get(f"/jobs/{job}/results")).json()["results"] == []
    assert (await client_of("alice").get(f"/files/{files[0]['id']}/junit")).status_code == 400


@pytest.mark.parametrize("content", [b"", b"  \n"])
async def test_an_empty_report_counts_nothing(client_of: ClientOf, world: World, content: bytes) -> None:
    job = await world.job()

    status, _ = await upload(client_of, job, content)

    assert status == 201
    assert (await client_of("alice").get(f"/jobs/{job}/results")).json()["results"][0]["total"] == 0


async def test_a_deep_document_is_refused_quickly(client_of: ClientOf, world: World) -> None:
    status, body = await upload(client_of, await world.job(), b"<a>" * 100_000)

    assert status == 400
    assert str(body["message"]).startswith("Invalid XML: ")


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order: the first and the last thing that the parser does, and what others write between."""
    happened: list[str] = []
    feed, close = JunitParser.feed, JunitParser.close

    def begin(parser: JunitParser, chunk: bytes) -> list[Case]:
        happened.append("fed")
        return feed(parser, chunk)

    def end(parser: JunitParser) -> tuple[list[Case], Summary]:
        found = close(parser)
        happened.append("closed")
        return found

    monkeypatch.setattr(JunitParser, "feed", begin)
    monkeypatch.setattr(JunitParser, "close", end)
    return happened


@pytest.mark.parametrize("call", ["upload", "report"])
async def test_others_are_answered_while_a_big_report_is_read(
    client_of: ClientOf, world: World, parsing: list[str], call: str
) -> None:
    job, alice = await world.job(), client_of("alice")
    cases = b"".join(b'<testcase name="%d" classname="c" time="1"/>' % number for number in range(40_000))
    report = b"<testsuite>" + cases + b"</testsuite>"

    async def read() -> int:
        return (await alice.get(f"/files/{file_id}/junit")).status_code

    async def send() -> int:
        return (await upload(client_of, job, report))[0]

    if call == "report":
        headers = {"DCI-NAME": "report", "DCI-JOB-ID": job, "DCI-MIME": "application/xml"}
        file_id = (await client_of("blue_lab").post("/files", content=report, headers=headers)).json()["file"]["id"]
    parsing.clear()
    reading = asyncio.create_task(send() if call == "upload" else read())
    while not reading.done():
        assert (await alice.get("/identity")).status_code == 200
        parsing.append("answered")
        await asyncio.sleep(0)  # a known caller is answered without a wait, which would leave nobody else a turn

    assert await reading in (200, 201)
    during = parsing[parsing.index("fed") : parsing.index("closed")]
    assert "answered" in during


async def test_a_report_that_is_cut_at_any_kilobyte_is_malformed_and_leaves_no_case(
    client_of: ClientOf, world: World
) -> None:
    report = (
        b"<testsuite>" + b'<testcase name="a" classname="b"><failure>text</failure></testcase>' * 300 + b"</testsuite>"
    )
    job = await world.job()

    statuses = {(await upload(client_of, job, report[:end], f"{end}"))[0] for end in range(1024, len(report), 1024)}

    assert statuses == {400}
    assert (await client_of("alice").get(f"/jobs/{job}/results")).json()["results"] == []
    assert (await client_of("alice").get(f"/jobs/{job}/cases")).json()["cases"] == []


@pytest.mark.parametrize(
    ("encoding", "declared", "status"),
    [
        ("utf-16", "utf-16", 201),
        ("utf-16-be", "utf-16", 201),
        ("cp1252", "windows-1252", 201),
        ("iso-8859-15", "iso-8859-15", 201),
        ("koi8-r", "koi8-r", 201),
        ("utf-32", "utf-32", 400),
        ("utf-7", "utf-7", 400),
        ("cp037", "cp037", 400),
        ("utf-8", "rot13", 400),
        ("utf-8", "zlib", 400),
        ("utf-8", "no-such-encoding", 400),
        ("utf-8", "utf-16", 400),
    ],
)
async def test_an_encoding_is_understood_or_refused(
    client_of: ClientOf, world: World, encoding: str, declared: str, status: int
) -> None:
    text = "é" if encoding != "koi8-r" else "ж"
    document = f'<?xml version="1.0" encoding="{declared}"?><testsuite><testcase name="{text}"/></testsuite>'
    job = await world.job()

    answered, body = await upload(client_of, job, document.encode(encoding))

    assert answered == status, body
    cases = (await client_of("alice").get(f"/jobs/{job}/cases")).json()["cases"]
    assert [case["name"] for case in cases] == ([text] if status == 201 else [])
