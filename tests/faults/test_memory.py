# SPDX-License-Identifier: Apache-2.0
"""Promise P3: no request makes a server's memory grow by more than 64 MiB, whatever its size or shape."""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import httpx
import pytest

from tests.faults.measured import MIB, Memory, growth, processor_seconds
from tests.server_process import Running, free_port, start, stop


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("house") / "data", free_port())
    yield running
    stop(running)


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    """By password: a signature would need the bytes before they are made."""
    rc = server.rc("demo-user")
    with httpx.Client(
        base_url=f"{server.url}/api/v1", auth=(rc["DCI_LOGIN"], rc["DCI_PASSWORD"]), timeout=300
    ) as opened:
        yield opened


@pytest.fixture
def job(server: Running) -> str:
    with server.signed() as lab:
        topic = lab.get("/topics").json()["topics"][0]["id"]
        return lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]


@pytest.fixture
def memory(server: Running, client: httpx.Client) -> Memory:
    client.get("/identity")
    return Memory(server)


def wide(key: bytes, element: bytes) -> bytes:
    return b'{"' + key + b'": [' + element * ((2 * MIB - 100) // len(element)) + b"0]}"


BODIES = {
    "a long text": b'{"comment": "' + b"x" * (2 * MIB - 100) + b'"}',
    "a long text of wide characters": '{"comment": "x\N{GRINNING FACE}'.encode() + b"x" * (2 * MIB - 100) + b'"}',
    "many tags": wide(b"tags", b'"a",'),
    "many numbers as tags": wide(b"tags", b"1,"),
    "many lists as tags": wide(b"tags", b"[],"),
    "many objects as tags": wide(b"tags", b"{},"),
    "many objects as topic": wide(b"topic", b'{"":{}},'),
    "many in data": b'{"data": {"a": ' + wide(b"b", b"[],") + b"}}",
    "many unknown keys": b"{" + b",".join(b'"%d":1' % n for n in range(180_000)) + b"}",
    "deep": b'{"comment": ' + b"[" * MIB + b"]" * (MIB - 100) + b"}",
    "escapes": b'{"comment": "' + b"\\u00e9" * (MIB // 4) + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_no_body_makes_it_grow(client: httpx.Client, memory: Memory, job: str, name: str) -> None:
    before = memory.now()

    statuses = {
        client.request(
            method, path, content=BODIES[name], headers={"Content-Type": "application/json", "If-match": "x"}
        ).status_code
        for method, path in (
            ("PUT", f"/jobs/{job}"),
            ("POST", "/jobs"),
            ("POST", "/components"),
            ("POST", "/jobstates"),
        )
    }

    assert statuses <= {400, 401, 404, 409, 413}
    assert growth(memory, before) == ""


def test_a_big_upload_does_not_make_it_grow(client: httpx.Client, memory: Memory, job: str) -> None:
    before, piece = memory.now(), bytes(range(256)) * 4096

    uploaded = client.post(
        "/files", content=(piece for _ in range(200)), headers={"DCI-NAME": "big", "DCI-JOB-ID": job}
    )
    file = uploaded.json()["file"]
    received = 0
    with client.stream("GET", f"/files/{file['id']}/content") as download:
        for chunk in download.iter_raw():
            received += len(chunk)

    assert (uploaded.status_code, file["size"], received) == (201, 200 * MIB, 200 * MIB)
    assert growth(memory, before) == ""


def cases(element: bytes, size: int) -> Iterator[bytes]:
    yield b"<testsuite>"
    piece = element * (64 * 1024 // len(element))
    for _ in range(size // len(piece)):
        yield piece
    yield b"</testsuite>"


def empty(count: int) -> list[bytes]:
    return [b"<testsuite>", *[b"<testcase/>" * 10_000] * (count // 10_000), b"</testsuite>"]


def sent(pieces: list[bytes]) -> Iterator[bytes]:
    """Small ones together, as clients send them."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= 64 * 1024:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def most_work(pieces: list[bytes]) -> float:
    """In seconds: so much for each MiB and each case, and no more for what is written to be expensive."""
    return 2 + 0.5 * sum(map(len, pieces)) / MIB + 30e-6 * sum(piece.count(b"<testcase") for piece in pieces)


LONG_MESSAGE = b'<testcase><failure message="' + "\N{GRINNING FACE}".encode() * 4096 + b'"/></testcase>'

BOMBS: dict[str, tuple[Callable[[], list[bytes]], int]] = {
    "entities": (
        lambda: (
            [b"<!DOCTYPE x [<!ENTITY a0 'ha'>"]
            + [b"<!ENTITY a%d '&a%d;&a%d;'>" % (n, n - 1, n - 1) for n in range(1, 40)]
            + [b"]><testsuite>&a39;</testsuite>"]
        ),
        400,
    ),
    "a quadratic blowup": (
        lambda: [b"<!DOCTYPE x [<!ENTITY a '", b"x" * 100_000, b"'>]><testsuite>", b"&a;" * 50_000, b"</testsuite>"],
        400,
    ),
    "an external entity": (
        lambda: [b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><testsuite>&a;</testsuite>"],
        400,
    ),
    "depth": (lambda: [b"<a>" * MIB], 400),
    "a tag without an end": (lambda: [b"<testsuite ", *[b"a" * MIB] * 16], 400),
    "many attributes": (lambda: [b"<testsuite ", *[b" ".join(b'a%d="1"' % n for n in range(1_000_000))], b"/>"], 400),
    "many short attributes": (
        lambda: [b"<testsuite>", *[b"<a b='1' c='2' d='3'/>" * 5_000] * 60, b"</testsuite>"],
        201,
    ),
    "many deep elements": (lambda: [b"<testsuite>", *[b"<a>" * 50 + b"</a>" * 50] * 20_000, b"</testsuite>"], 201),
    "many names": (lambda: [b"<testsuite>", *[b"<a%d/>" % n for n in range(200_000)], b"</testsuite>"], 400),
    "many suites": (lambda: [b"<a>", *[b"<testsuite/>" * 5_000] * 40, b"</a>"], 400),
    "many properties": (
        lambda: [
            b"<testsuite><properties>",
            *[b'<property name="a" value="b"/>' * 5_000] * 100,
            b"</properties></testsuite>",
        ],
        400,
    ),
    "a long text": (
        lambda: [b"<testsuite><testcase><failure>", *[b"x" * MIB] * 60, b"</failure></testcase></testsuite>"],
        201,
    ),
    "many cases": (lambda: list(cases(b'<testcase name="a" classname="b" time="1"/>', 10 * MIB)), 201),
    "many cases with long names": (
        lambda: [b"<testsuite>", *[b'<testcase name="%d%b"/>' % (n, b"x" * MIB) for n in range(30)], b"</testsuite>"],
        201,
    ),
    "many cases with long messages": (
        lambda: [b"<testsuite>", *[LONG_MESSAGE] * 4_500, b"</testsuite>"],
        201,
    ),
    "many empty cases": (lambda: empty(200_000), 201),
    "two million empty cases": (lambda: empty(2_000_000), 201),
    "compressed": (lambda: [gzip.compress(b"<testsuite>" + b" " * 50 * MIB + b"</testsuite>")], 400),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "two million" in name else []) for name in BOMBS]
)
def test_no_report_makes_it_grow_or_work_for_long(
    client: httpx.Client, server: Running, memory: Memory, job: str, name: str
) -> None:
    make, status = BOMBS[name]
    pieces = make()
    before, worked = memory.now(), processor_seconds(server)
    headers = {"DCI-NAME": "bomb", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}

    response = client.post("/files", content=sent(pieces), headers=headers)

    assert response.status_code == status, response.text
    if status == 400:
        assert response.json()["message"].startswith("Invalid XML: ")
        assert "root:" not in response.text
    assert processor_seconds(server) - worked < most_work(pieces)
    assert growth(memory, before) == ""
    assert client.get("/identity").status_code == 200


WRITTEN_AS = {
    "utf-8": "utf-8", "utf-8 with a mark": "utf-8-sig", "utf-16": "utf-16", "utf-16 the other way": "utf-16-be",
    "utf-32": "utf-32", "latin": "iso-8859-1", "windows": "windows-1252", "cyrillic": "koi8-r", "japanese": "shift_jis",
    "chinese": "gb18030", "mainframes": "cp500", "utf-7": "utf-7",
}  # fmt: skip
DECLARED = {"what it is": None, "another": "utf-16", "unknown": "klingon", "no text": "base64", "none": ""}


@pytest.mark.parametrize("written_as", WRITTEN_AS)
def test_no_report_cut_anywhere_in_any_encoding_makes_it_fail_grow_or_work_for_long(
    client: httpx.Client, server: Running, memory: Memory, job: str, written_as: str
) -> None:
    headers = {"DCI-NAME": "odd", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
    codec = WRITTEN_AS[written_as]
    before, worked = memory.now(), processor_seconds(server)
    cut: list[bytes] = []
    whole: list[bytes] = []

    for declared in DECLARED.values():
        name = codec.removesuffix("-sig").removesuffix("-be") if declared is None else declared
        head = f"<?xml version='1.0' encoding='{name}'?>" if name else ""
        text = head + "<testsuite>" + "<testcase name='a b c'>d</testcase>" * 300 + "</testsuite>"
        whole.append(text.encode(codec))
        cut += [whole[-1][:end] for end in range(1024, len(whole[-1]) if declared is None else 1025, 1024)]
    answers = [client.post("/files", content=report, headers=headers) for report in cut + whole]

    assert {answer.status_code for answer in answers[: len(cut)]} == {400}
    assert {answer.status_code for answer in answers} <= {201, 400}
    refused = [answer.json()["message"] for answer in answers if answer.status_code == 400]
    assert [message for message in refused if not message.startswith("Invalid XML: ")] == []
    assert growth(memory, before) == ""
    assert processor_seconds(server) - worked < most_work(cut + whole)


def tiny(count: int) -> list[bytes]:
    return [b"<testsuite>", *[b'<testcase name="a" classname=""/>' * 100] * (count // 100), b"</testsuite>"]


def different(count: int) -> list[bytes]:
    return [
        b"<testsuite>",
        *[b'<testcase name="%d" classname="\xf0\x9f\x98\x80"/>' % n for n in range(count)],
        b"</testsuite>",
    ]


def texts(*texts: bytes) -> list[bytes]:
    return [b"<testsuite>", *[b"<testcase><error>%b</error></testcase>" % text for text in texts], b"</testsuite>"]


def types(long: bytes, count: int) -> list[bytes]:
    cases = (b'<testcase name="%d"><error type="%b"/></testcase>' % (n, long) for n in range(count))
    return [b"<testsuite>", *cases, b"</testsuite>"]


_RECORDED, _READ = "application/junit", "application/xml"
LOOKS: dict[str, tuple[Callable[[], list[bytes]], dict[str, int]]] = {
    "600,000 cases": (lambda: tiny(600_000), {_RECORDED: 413, _READ: 413}),
    "many cases": (lambda: different(100_000), {_RECORDED: 200, _READ: 413}),
    "as many cases as are read from a file": (lambda: different(50_000), {_RECORDED: 200, _READ: 200}),
    "long names": (
        lambda: [b"<a>", *[b'<testsuite><testcase name="%b&#128512;"/></testsuite>' % (b"x" * MIB)] * 7, b"</a>"],
        {_RECORDED: 200, _READ: 200},
    ),
    "long types": (lambda: types(b"x" * MIB, 80), {_RECORDED: 200, _READ: 413}),
    "long types that cannot be packed": (lambda: types(token_hex(MIB // 2).encode(), 80), {_RECORDED: 200, _READ: 413}),
    "a huge text": (lambda: texts(b"&#128512;" + b"x" * 7 * MIB), {_RECORDED: 200, _READ: 200}),
    "a huge text to escape": (lambda: texts(b'"' * 7 * MIB), {_RECORDED: 200, _READ: 200}),
    "few big texts": (lambda: texts(*[b"x\n" * (MIB // 2)] * 7), {_RECORDED: 200, _READ: 200}),
    "a bigger text": (lambda: texts(b"x" * 80 * MIB), {_RECORDED: 200, _READ: 413}),
    "many suites": (
        lambda: [b"<a>", *[b"<testsuite><testcase/></testsuite>" * 100] * 450, b"</a>"],
        {_RECORDED: 200, _READ: 200},
    ),
    "many properties": (
        lambda: [
            b"<testsuite><properties>",
            *[b'<property name="a" value="b"/>' * 100] * 1000,
            b"</properties></testsuite>",
        ],
        {_RECORDED: 200, _READ: 200},
    ),
    "UTF-16": (
        lambda: [
            "<testsuite>".encode("utf-16"),
            *["<testcase name='a'/>".encode("utf-16-le")] * 50_000,
            "</testsuite>".encode("utf-16-le"),
        ],
        {_RECORDED: 200, _READ: 200},
    ),
}


@pytest.mark.parametrize("mime", [_RECORDED, _READ])
@pytest.mark.parametrize("name", LOOKS)
def test_no_look_at_a_report_makes_it_grow(
    client: httpx.Client, memory: Memory, job: str, name: str, mime: str
) -> None:
    """The media type says whether its cases were recorded, or are read from the file at each look."""
    make, statuses = LOOKS[name]
    headers = {"DCI-NAME": "report", "DCI-JOB-ID": job, "DCI-MIME": mime}
    file_id = client.post("/files", content=sent(make()), headers=headers).json()["file"]["id"]
    memory.forget_the_highest()
    before = memory.now()

    def look(_: int) -> int:
        with client.stream("GET", f"/files/{file_id}/junit") as answer:
            for _piece in answer.iter_raw():
                pass
            return answer.status_code

    with ThreadPoolExecutor(4) as lookers:
        found = list(lookers.map(look, range(4)))

    assert found == [statuses[mime]] * 4
    assert growth(memory, before) == ""
