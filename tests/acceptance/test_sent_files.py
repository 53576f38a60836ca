# SPDX-License-Identifier: Apache-2.0
"""What laboratories do with files, by the published library against a server as a user starts it.

The callback of Ansible sends one small file per task and waits for each; what was not answered 2xx it sends again with
the next task.
"""

import hashlib
import random
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests

from tests.acceptance.library import api
from tests.waiting import wait_until

OUTPUT = "application/x-ansible-output"
TASKS = 300


@pytest.fixture
def job(lab: Any) -> str:
    topic = api("topic").list(lab, where="name:RHEL-9.6").json()["topics"][0]["id"]
    return api("job").schedule(lab, topic).json()["job"]["id"]


def contents(lab: Any, files: Sequence[dict[str, Any]]) -> list[bytes]:
    return [api("file").content(lab, file["id"]).content for file in files]


@dataclass
class Callback:
    """What the callback does with the results of tasks."""

    lab: Any
    job: str
    jobstate: str = ""
    backlog: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    refused: list[int] = field(default_factory=list[int])

    def status(self, status: str) -> None:
        created = api("jobstate").create(self.lab, status, f"it is {status}", self.job)
        assert created.status_code == 201
        self.jobstate = created.json()["jobstate"]["id"]

    def task(self, name: str, output: str) -> None:
        self.backlog.append((name[:255], output or " ", self.jobstate))
        waiting, self.backlog = self.backlog, []
        for each in waiting:
            self._send(*each)

    def _send(self, name: str, output: str, jobstate: str) -> None:
        sent = api("file").create(
            self.lab, name, content=output, mime=OUTPUT, jobstate_id=jobstate, job_id=self.job
        )  # fmt: skip
        if sent.status_code != 201:
            self.refused.append(sent.status_code)
            self.backlog.append((name, output, jobstate))


def tasks() -> Iterator[tuple[str, str]]:
    chance = random.Random(4)
    for number in range(TASKS):
        prefix = chance.choice(["", "", "", "failed/", "skipped/", "unreachable/", "warn/"])
        name = f'{prefix}{number} role/with a slash : it\'s "quoted" 100%{"x" * chance.choice([0, 0, 0, 300])}'
        yield (
            name,
            "" if number % 3 == 0 else f"line of {number} \N{EM DASH} é\r\n" * chance.choice([1, 20, 200, 3_000]),
        )


@pytest.mark.timeout(300)
def test_a_run_of_hundreds_of_tasks_is_there_in_its_order_with_what_was_refused_for_a_while(
    lab: Any, admin: Any, job: str
) -> None:
    callback, sent = Callback(lab, job), list(tasks())
    team = api("job").get(lab, job).json()["job"]["team_id"]

    def set_team(state: str) -> None:
        etag = api("team").get(admin, team).json()["team"]["etag"]
        assert api("team").update(admin, team, etag=etag, state=state).status_code == 200

    states: dict[str, int] = {}
    for number, (name, output) in enumerate(sent):
        if number in (0, 100, 200):
            callback.status(("new", "pre-run", "running")[number // 100])
            states[callback.jobstate] = number
        if number in (150, 160):
            set_team("inactive" if number == 150 else "active")
        callback.task(name, output)
    callback.status("success")

    # The first of the ten was sent ten times in vain, the next one nine times, ...
    assert callback.refused == [412] * 55
    assert callback.backlog == []
    files = list(api("job").list_files_iter(lab, job, sort="created_at", limit=100))
    assert [file["name"] for file in files] == [name[:255] for name, _ in sent]
    assert {file["mime"] for file in files} == {OUTPUT}
    expected = [(output or " ").encode() for _, output in sent]
    assert [file["size"] for file in files] == [len(output) for output in expected]
    assert contents(lab, files) == expected
    of_states = [states[file["jobstate_id"]] for file in files]
    assert of_states == [number // 100 * 100 for number in range(TASKS)]
    shown = api("job").get(lab, job).json()["job"]
    assert shown["status"] == "success"
    listed = api("job").list_jobstates(lab, job).json()["jobstates"]
    assert [len(state["files"]) for state in listed] == [0, 100, 100, 100]


def test_a_file_is_sent_in_every_way_that_the_library_knows(lab: Any, job: str, tmp_path: Path) -> None:
    files, path = api("file"), tmp_path / "log"
    big = random.Random(1).randbytes(300_000)
    path.write_bytes(big)
    digest = hashlib.md5(big).hexdigest()
    running = api("jobstate").create(lab, "running", "", job).json()["jobstate"]["id"]

    answers = {
        "text": (files.create(lab, "text", content="é\n", job_id=job), "é\n".encode()),
        "bytes": (files.create(lab, "bytes", content=b"\x00\xff", mime="application/x-gzip", job_id=job), b"\x00\xff"),
        "stream": (files.create(lab, "stream", content=BytesIO(big), md5=digest, job_id=job), big),
        "path": (files.create(lab, "path", file_path=str(path), jobstate_id=running), big),
        "old way": (files.create_with_stream(lab, "old way", str(path), jobstate_id=running, job_id=job), big),
        "nothing": (files.create(lab, "nothing", content="", job_id=job), b""),
    }

    assert {name: answer.status_code for name, (answer, _) in answers.items()} == dict.fromkeys(answers, 201)
    sent = {name: answer.json()["file"] for name, (answer, _) in answers.items()}
    assert contents(lab, list(sent.values())) == [content for _, content in answers.values()]
    assert {name: file["mime"] for name, file in sent.items() if file["mime"] != "text/plain"} == {
        "bytes": "application/x-gzip"
    }
    assert {file["job_id"] for file in sent.values()} == {job}
    assert {name for name, file in sent.items() if file["jobstate_id"] == running} == {"path", "old way"}
    assert [file["id"] for file in api("job").list_files(lab, job, sort="created_at").json()["files"]] == [
        file["id"] for file in sent.values()
    ]


def test_a_file_is_described_downloaded_and_deleted(lab: Any, job: str, tmp_path: Path) -> None:
    files, target = api("file"), tmp_path / "downloaded"
    file = files.create(lab, "log", content="it works", job_id=job).json()["file"]

    described = files.get(lab, file["id"])
    files.download(lab, job, file["id"], str(target))
    deleted = files.delete(lab, file["id"])

    assert (described.status_code, described.json()["file"]) == (200, file)
    assert target.read_text() == "it works"
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [files.get(lab, file["id"]).status_code, files.content(lab, file["id"]).status_code] == [404, 404]
    assert files.delete(lab, file["id"]).status_code == 404
    with pytest.raises(requests.HTTPError, match="404"):
        files.download(lab, job, file["id"], str(target))
    assert api("job").list_files(lab, job).json()["files"] == []


def test_there_is_no_list_of_all_files(lab: Any) -> None:
    listed = api("file").list(lab)

    assert listed.status_code == 405
    assert listed.json()["message"]


@pytest.mark.parametrize(
    ("md5", "name", "headers"),
    [("0" * 32, "log", "job_id"), (None, "log", "jobstate_id"), (None, "x" * 256, "job_id")],
    ids=["other bytes", "no such state", "a name too long"],
)
def test_a_refused_file_is_not_there(lab: Any, job: str, md5: str | None, name: str, headers: str) -> None:
    refused = api("file").create(lab, name, content="it works", md5=md5, **{headers: job})

    assert refused.status_code in (400, 404)
    assert refused.json()["message"]
    assert api("job").list_files(lab, job).json()["files"] == []


def component(lab: Any, called: str) -> tuple[Any, bool]:
    topic = api("topic").list(lab, where="name:RHEL-9.6").json()["topics"][0]["id"]
    team = next(iter(api("identity").get(lab).json()["identity"]["teams"]))
    wanted = {"display_name": called, "version": "1", "type": "rpm", "topic_id": topic, "team_id": team}
    # As dci-create-component asks: the topic is where it looks, and one of what it looks for.
    return api("base").get_or_create(
        lab, "components", defaults={"url": "", "data": {}, "tags": []}, state="active", **wanted
    )


def test_a_component_is_made_once(lab: Any) -> None:
    made, is_new = component(lab, "kernel 6.1")
    found, is_new_again = component(lab, "kernel 6.1")

    assert (made.status_code, is_new) == (201, True)
    assert (found.status_code, is_new_again) == (200, False)
    assert found.json()["component"]["id"] == made.json()["component"]["id"]


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_file_of_a_component_comes_goes_and_is_gone(lab: Any, tmp_path: Path, size: int) -> None:
    components, content = api("component"), random.Random(size).randbytes(size)
    component_id = component(lab, f"package of {size}")[0].json()["component"]["id"]
    path, target = tmp_path / "package.rpm", tmp_path / "downloaded"
    path.write_bytes(content)

    uploaded = components.file_upload(lab, component_id, str(path))
    file = uploaded.json()["component_file"]
    listed = components.file_list(lab, component_id, where="state:active", sort="-created_at", limit=50, offset=0)
    shown = components.file_get(lab, component_id, file["id"])
    components.file_download(lab, component_id, file["id"], str(target))
    stale = components.file_delete(lab, component_id, file["id"], "x")
    deleted = components.file_delete(lab, component_id, file["id"], shown.json()["component_file"]["etag"])

    assert (uploaded.status_code, file["size"]) == (201, size)
    assert [each["id"] for each in listed.json()["component_files"]] == [file["id"]]
    assert listed.json()["_meta"]["count"] == 1
    assert shown.status_code == 200
    assert target.read_bytes() == content
    assert (stale.status_code, deleted.status_code) == (404, 204)
    assert components.file_list(lab, component_id).json()["component_files"] == []
    assert components.file_get(lab, component_id, file["id"]).status_code == 404
    with pytest.raises(requests.HTTPError, match="404"):
        components.file_download(lab, component_id, file["id"], str(target))


def signed_request(lab: Any, name: str, content: bytes, job: str, mime: str) -> tuple[bytes, tuple[str, int]]:
    """As the library sends it, in bytes, and where to."""
    headers = {"DCI-NAME": name, "DCI-MIME": mime, "DCI-JOB-ID": job, "Content-Type": mime}
    url = f"{lab.dci_cs_api}/files"
    prepared = lab.session.prepare_request(requests.Request("POST", url, headers=headers, data=BytesIO(content)))
    address = urlsplit(url)
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}"]
    lines += [f"{key}: {value}" for key, value in prepared.headers.items() if key.lower() != "host"]
    return "\r\n".join([*lines, "", ""]).encode() + content, (str(address.hostname), address.port or 0)


def cut_at_once(connection: socket.socket, _is_there: Callable[[], bool]) -> None:
    """As a client that is killed: what was sent may be lost on the way, and the server is told so."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut_when_stored(_connection: socket.socket, is_there: Callable[[], bool]) -> None:
    wait_until(is_there)


MALFORMED = b"<testsuite><testcase name='x'></testsuite>" + b" " * 70_000
REPORT = b"<testsuite>%b</testsuite>" % (b"<testcase name='x'/>" * 5_000)
SENT = {
    "a task": (b"output\n" * 100, OUTPUT),
    "a log": (b"line\n" * 200_000, "text/plain"),
    "a report": (REPORT, "application/junit"),
}


@pytest.mark.parametrize("kind", SENT)
def test_a_file_whose_answer_did_not_arrive_is_there_and_sent_again_twice(lab: Any, job: str, kind: str) -> None:
    """Uploads have no key that would tell a repetition from a second file of the same name."""
    content, mime = SENT[kind]
    send_and_cut(lab, job, content, mime, cut_when_stored)

    again = api("file").create(lab, "sent", content=content, mime=mime, job_id=job)

    assert again.status_code == 201
    files = listed_files(lab, job)
    assert len(files) == 2
    assert again.json()["file"]["id"] in {file["id"] for file in files}
    assert contents(lab, files) == [content, content]
    results = api("job").list_results(lab, job).json()["results"]
    assert [result["total"] for result in results] == ([5_000] * 2 if kind == "a report" else [])


@pytest.mark.parametrize("kind", SENT)
def test_a_file_of_a_client_that_dies_is_there_as_a_whole_or_not_at_all(lab: Any, job: str, kind: str) -> None:
    content, mime = SENT[kind]
    for _ in range(5):
        send_and_cut(lab, job, content, mime, cut_at_once)
        send_and_cut(lab, job, content, mime, cut_at_once, lacking=1)
        send_and_cut(lab, job, content, mime, cut_at_once, lacking=len(content) // 2)

    acknowledged = api("file").create(lab, "sent", content=content, mime=mime, job_id=job).json()["file"]["id"]

    files = listed_files(lab, job)
    assert acknowledged in {file["id"] for file in files}
    assert len(files) <= 1 + 5
    assert set(contents(lab, files)) == {content}


def test_a_report_that_cannot_be_read_is_kept_once_however_often_it_is_sent(lab: Any, job: str) -> None:
    send_and_cut(lab, job, MALFORMED, "application/junit", cut_when_stored)

    again = [api("file").create(lab, "sent", content=MALFORMED, mime="application/junit", job_id=job) for _ in range(3)]

    (file,) = listed_files(lab, job)
    assert {(answer.status_code, answer.json()["payload"]["file_id"]) for answer in again} == {(400, file["id"])}
    assert contents(lab, [file]) == [MALFORMED]


def listed_files(lab: Any, job: str) -> list[dict[str, Any]]:
    return api("job").list_files(lab, job, limit=100, offset=0).json()["files"]


def send_and_cut(
    lab: Any,
    job: str,
    content: bytes,
    mime: str,
    cut: Callable[[socket.socket, Callable[[], bool]], None],
    lacking: int = 0,
) -> None:
    """A request whose answer nobody reads; without its last bytes, if some are lacking."""
    request, address = signed_request(lab, "sent", content, job, mime)
    with closing(socket.create_connection(address)) as connection:
        connection.sendall(request[: len(request) - lacking])
        cut(connection, lambda: bool(listed_files(lab, job)))


def test_the_next_version_of_the_download_is_followed_by_the_library(lab: Any, job: str) -> None:
    content = b"line\n" * 100_000
    file = api("file").create(lab, "log", content=content, job_id=job).json()["file"]

    answer = lab.session.get(f"{lab.dci_cs_api.replace('/v1', '/v2')}/files/{file['id']}/content")

    assert (answer.status_code, answer.content) == (200, content)
    assert httpx.get(f"{lab.dci_cs_api.replace('/v1', '/v2')}/files/{file['id']}/content").status_code == 401
