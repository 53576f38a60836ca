# SPDX-License-Identifier: Apache-2.0
"""The server as a user starts it, driven by the published client, `dcictl`, and requests signed by hand."""

import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.library import api
from tests.server_process import Running, free_port, start, stop
from tests.signing import SignedBy
from tests.waiting import PATIENCE, wait_until


def test_the_published_client_reports_a_run(lab: Any) -> None:
    identity = api("identity").get(lab)
    topic = api("topic").list(lab, where="name:RHEL-9.6").json()["topics"][0]
    components = api("topic").list_components(lab, topic["id"], limit=1, offset=0).json()["components"]

    created = api("job").create(lab, topic["id"], components=[components[0]["id"]], comment="by hand")
    job = created.json()["job"]
    for status in ("new", "pre-run", "running", "post-run"):
        assert api("jobstate").create(lab, status, "c", job["id"]).status_code == 201
    state = api("jobstate").create(lab, "success", None, job["id"]).json()["jobstate"]
    log = api("file").create(lab, "log", content="hello", job_id=job["id"])
    empty = api("file").create(lab, "empty", content="", jobstate_id=state["id"])
    junit = "<testsuite name='s'><testcase name='t' classname='c' time='2'/></testsuite>"
    report = api("file").create(lab, "r", content=junit, mime="application/junit", job_id=job["id"])
    tagged = api("job").add_tag(lab, job["id"], "nightly")

    assert next(iter(identity.json()["identity"]["teams"]))
    assert (created.status_code, log.status_code, empty.status_code, report.status_code) == (201, 201, 201, 201)
    assert tagged.status_code == 200
    read = api("job").get(lab, job["id"], embed="topic,remoteci,components").json()["job"]
    assert (read["status"], read["tags"], read["client_version"][:17]) == ("success", ["nightly"], "python-dciclient_")
    assert [component["id"] for component in read["components"]] == [components[0]["id"]]
    assert api("file").content(lab, log.json()["file"]["id"]).content == b"hello"
    assert api("job").list_results(lab, job["id"]).json()["results"][0]["total"] == 1
    assert api("job").list_jobstates(lab, job["id"]).json()["jobstates"][0]["status"] == "success"
    names = [file["name"] for file in api("job").list_files(lab, job["id"]).json()["files"]]
    assert sorted(names) == ["empty", "log", "r"]
    scheduled = api("job").schedule(lab, topic["id"]).json()["job"]
    assert api("job").delete(lab, scheduled["id"], scheduled["etag"]).status_code == 204


def test_dcictl_talks_to_it(server: Running, lab: Any) -> None:
    topic = api("topic").list(lab, where="name:RHEL-9.6").json()["topics"][0]
    job = api("job").schedule(lab, topic["id"], name="seen by dcictl").json()["job"]

    assert job["id"] in server.dcictl("job-list")
    assert "RHEL-9.6" in server.dcictl("topic-list")
    assert "seen by dcictl" in server.dcictl("job-show", job["id"])
    assert "Demo lab" in server.dcictl("team-list", rc="admin")
    assert "demo-remoteci" in server.dcictl("remoteci-list", rc="admin")
    assert "RHEL" in server.dcictl("product-list", rc="admin")


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_what_needs_no_identity(server: Running, path: str) -> None:
    assert httpx.get(server.url + path).status_code == 200
    assert httpx.head(server.url + path).content == b""


def test_a_body_that_stops_half_way_leaves_nothing(server: Running) -> None:
    lab = server.signed()
    topic = lab.get("/topics", params={"where": "name:RHEL-9.6"}).json()["topics"][0]["id"]
    job = lab.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]
    request = lab.build_request(
        "POST", "/files", content=b"x" * 200_000, headers={"DCI-NAME": "half", "DCI-JOB-ID": job}
    )
    assert isinstance(lab.auth, SignedBy)
    signed = next(lab.auth.auth_flow(request))
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    port = int(server.url.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"POST /api/v1/files HTTP/1.1\r\n{head}\r\n".encode() + b"x" * 100_000)

    # The server notices a moment later.
    wait_until(lambda: not [path for path in (server.data / "files" / "tmp").glob("*") if path.is_file()])
    assert lab.get(f"/jobs/{job}/files").json()["files"] == []


def test_two_servers_run_side_by_side_and_find_their_data_again(server: Running, tmp_path: Path) -> None:
    port = free_port()
    other = start(tmp_path / "data", port)
    topic = other.signed().get("/topics").json()["topics"][0]["id"]
    job = other.signed().post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]
    children = psutil.Process(other.process.pid).children(recursive=True)
    stop(other)

    gone = psutil.wait_procs(children, timeout=PATIENCE)[1]
    again = start(tmp_path / "data", port)
    try:
        assert again.signed().get(f"/jobs/{job}").status_code == 200
        assert server.signed().get(f"/jobs/{job}").status_code == 404
        assert gone == []
    finally:
        stop(again)
    assert again.process.returncode in (0, 130, -signal.SIGINT)


def test_generic_tools_sign_as_aws_does_and_read_a_report(server: Running) -> None:
    rc = server.rc("demo")
    generic = SignedBy(
        rc["DCI_CLIENT_ID"], rc["DCI_API_SECRET"],
        algorithm="AWS4-HMAC-SHA256", terminator="aws4_request", date_header="X-Amz-Date",
    )  # fmt: skip
    with httpx.Client(base_url=f"{server.url}/api/v1", auth=generic, timeout=60) as tool:
        topic = tool.get("/topics", params={"where": "name:RHEL-9.6"}).json()["topics"][0]["id"]
        job = tool.post("/jobs/schedule", json={"topic_id": topic}).json()["job"]["id"]
        headers = {"DCI-NAME": "smoke", "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
        junit = b'<testsuite name="s"><testcase name="a" classname="c"/></testsuite>'
        file = tool.post("/files", content=junit, headers=headers).json()["file"]["id"]
        report = tool.get(f"/files/{file}/junit").json()

    assert report["testsuites"][0]["testcases"][0]["name"] == "a"
