# SPDX-License-Identifier: Apache-2.0
"""The calls of the published library that no sub-command of `dcictl` makes, against a server as a user starts it."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.library import api
from tests.server_process import Running

REPORT = "<testsuite name='s'><testcase name='t' classname='c' time='2'></testcase></testsuite>"
WITH_PROPERTY = REPORT.replace("></testcase>", "><properties><property name='bug' value='7'/></properties></testcase>")
OTHERS = {
    "another case": REPORT.replace("'t'", "'u'"),
    "another time": REPORT.replace("'2'", "'3'"),
    "a property of the suite": REPORT.replace(
        "<testcase", "<properties><property name='bug' value='7'/></properties><testcase", 1
    ),
    "a property, and another case": WITH_PROPERTY.replace("'t'", "'u'"),
}


def a_topic(lab: Any) -> str:
    return api("topic").list(lab, where="name:RHEL-9.6").json()["topics"][0]["id"]


def a_job(lab: Any) -> str:
    return api("job").schedule(lab, a_topic(lab)).json()["job"]["id"]


def ended(lab: Any, status: str) -> str:
    """A job that ended with that status."""
    job = a_job(lab)
    for each in ("running", status):
        assert api("jobstate").create(lab, each, None, job).status_code == 201
    return job


def next_event(admin: Any) -> int:
    """The sequence from which on there is nothing yet."""
    newest = api("jobs_events").list(admin, 0, limit=1).json()["jobs_events"]
    return newest[0]["id"] + 1 if newest else 0


def report(lab: Any) -> Any:
    uploaded = api("file").create(lab, "r", content=REPORT, mime="application/junit", job_id=a_job(lab))
    assert uploaded.status_code == 201
    return uploaded.json()["file"]


def test_a_reader_finds_the_jobs_that_ended_since(lab: Any, admin: Any) -> None:
    events, start_at = api("jobs_events"), next_event(admin)
    jobs = [ended(lab, "success"), ended(lab, "failure"), ended(lab, "error")]

    listed = events.list(admin, start_at)

    assert listed.status_code == 200
    newest_first = listed.json()["jobs_events"]
    assert [(event["job_id"], event["status"]) for event in newest_first] == [
        (jobs[2], "error"),
        (jobs[1], "failure"),
        (jobs[0], "success"),
    ]
    assert {event["topic_id"] for event in newest_first} == {a_topic(lab)}
    assert listed.json()["_meta"]["count"] == 3
    assert list(events.iter(admin, start_at, limit=2)) == newest_first
    assert events.list(admin, start_at, limit=1, offset=1).json()["jobs_events"] == newest_first[1:2]
    assert events.list(admin, newest_first[1]["id"]).json()["jobs_events"] == newest_first[:2]
    assert events.list(admin, newest_first[1]["id"] + 1).json()["jobs_events"] == newest_first[:1]


def test_readers_share_how_far_they_are(lab: Any, admin: Any) -> None:
    events = api("jobs_events")
    before = events.get_sequence(admin).json()["sequence"]
    ended(lab, "success")
    reached = next_event(admin)

    moved = events.update_sequence(admin, before["etag"], reached)
    late = events.update_sequence(admin, before["etag"], reached + 1)

    assert (moved.status_code, moved.content) == (204, b"")
    assert late.status_code == 409
    after = events.get_sequence(admin).json()["sequence"]
    assert after["sequence"] == reached
    assert after["etag"] != before["etag"]
    assert events.list(admin, after["sequence"]).json()["jobs_events"] == []


def test_events_are_deleted_from_a_sequence_on(lab: Any, admin: Any) -> None:
    events, start_at = api("jobs_events"), next_event(admin)
    kept, _ = ended(lab, "success"), ended(lab, "failure")
    newest = events.list(admin, start_at, limit=1).json()["jobs_events"][0]

    deleted = events.delete(admin, newest["id"])
    later = ended(lab, "error")

    assert (deleted.status_code, deleted.content) == (204, b"")
    left = events.list(admin, start_at).json()["jobs_events"]
    assert [event["job_id"] for event in left] == [later, kept]
    assert left[0]["id"] > newest["id"]


def test_a_user_asks_who_they_are(server: Running, admin: Any) -> None:
    current = api("user").get_current_user(admin)

    assert current.status_code == 200
    user = current.json()["user"]
    assert user["name"] == server.rc("admin")["DCI_LOGIN"]
    assert api("user").get(admin, user["id"]).json()["user"]["etag"] == user["etag"]
    assert "password" not in user


def test_a_report_gets_a_property_of_a_test_case(lab: Any, tmp_path: Path) -> None:
    files, file = api("file"), report(lab)

    updated = files.update_content(lab, file["id"], file["etag"], content=WITH_PROPERTY)

    assert updated.status_code == 200
    changed = updated.json()["file"]
    assert changed["etag"] != file["etag"]
    assert changed["size"] == len(WITH_PROPERTY)
    assert files.get(lab, file["id"]).json()["file"]["etag"] == changed["etag"]
    assert files.content(lab, file["id"]).content == WITH_PROPERTY.encode()
    stale = files.update_content(lab, file["id"], file["etag"], content=REPORT)
    assert stale.status_code == 404
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    assert files.update_content(lab, file["id"], changed["etag"], file_path=str(path)).status_code == 200
    assert files.content(lab, file["id"]).content == REPORT.encode()


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_a_report_takes_no_other_change(lab: Any, content: str) -> None:
    files, file = api("file"), report(lab)

    refused = files.update_content(lab, file["id"], file["etag"], content=content)

    assert refused.status_code == 400
    assert "only the properties of test cases may be changed" in refused.json()["message"]
    assert files.content(lab, file["id"]).content == REPORT.encode()
    assert files.get(lab, file["id"]).json()["file"]["etag"] == file["etag"]


def test_only_a_report_takes_new_content(lab: Any) -> None:
    files = api("file")
    log = files.create(lab, "log", content="hello", job_id=a_job(lab)).json()["file"]

    for mime in ("application/junit", "text/plain"):
        refused = files.update_content(lab, log["id"], log["etag"], content="bye", mime=mime)

        assert refused.status_code == 400
        assert refused.json()["message"].startswith("only a file of application/junit takes new content")
    assert files.content(lab, log["id"]).content == b"hello"


def test_the_jobs_that_used_a_component_of_a_topic(lab: Any) -> None:
    topics, topic = api("topic"), a_topic(lab)
    component = topics.list_components(lab, topic, limit=1, offset=0).json()["components"][0]["id"]
    with_it, too = (api("job").create(lab, topic, components=[component]).json()["job"]["id"] for _ in range(2))
    without = api("job").create(lab, topic, components=[]).json()["job"]["id"]

    found = topics.get_jobs_from_components(lab, topic, component)
    newest = topics.get_jobs_from_components(lab, topic, component, params={"limit": 1, "offset": 0})
    missing = topics.get_jobs_from_components(lab, topic, str(uuid4()))

    assert found.status_code == 200
    listed = [job["id"] for job in found.json()["jobs"]]
    assert listed[:2] == [too, with_it]
    assert without not in listed
    assert [job["id"] for job in newest.json()["jobs"]] == [too]
    assert (missing.status_code, missing.json()["message"]) == (404, "component not found")
