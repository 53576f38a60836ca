# SPDX-License-Identifier: Apache-2.0
"""Lists as screens and scripts ask for them: one scenario per family of filters, and callers whose rights cost something."""

from datetime import UTC, datetime, timedelta
from hashlib import md5
from urllib.parse import quote
from uuid import UUID

from benchmarks.load import Laboratory, Play
from benchmarks.scenarios import Scenario, prepare_full
from benchmarks.seed import CASE, SOUND_CASE

_SHORT = 2_000


def list_scenarios() -> list[Scenario]:
    recent = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S")
    jobs = {
        "where state, as clients send it": "where=" + quote("state:active"),
        "where text": "where=" + quote("name:nightly-7"),
        "where text, in few jobs": "where=" + quote("comment:job number 2997"),
        "where text contains": "where=" + quote("name:ightly-4*"),
        "where tag": "where=" + quote("tags:lab:7"),
        "where uuid": "where=topic_id%3A{topic_id}",
        "query and, or": "query=" + quote("and(eq(status,failure),or(eq(name,nightly-9),contains(tags,lab:3)))"),
        "query contains tag": "query=" + quote("contains(tags,lab:7)"),
        "query null": "query=" + quote("null(url)"),
        "created_after": "created_after=" + quote(recent),
        "three sort keys": "sort=" + quote("-status,name,-created_at"),
    }
    found = [
        Scenario(f"jobs, {name}", _get(f"/jobs?limit=20&offset=0&{query}"), _SHORT) for name, query in jobs.items()
    ]
    components = "/topics/{topic_id}/components?limit=20&offset=0&"
    history, sound = (f"/cases/{_id_of(case)}/runs?limit=50" for case in (CASE, SOUND_CASE))
    return [
        *found,
        Scenario("cases of a job, failed", _get("/jobs/{job_id}/cases?status=failure%2Cerror&limit=50"), _SHORT,
                 preparation=prepare_full),
        Scenario("history of a case", _get(history), _SHORT),
        Scenario("history of a case, failed", _get(history + "&status=failure"), _SHORT),
        Scenario("history of a case, failed, never", _get(sound + "&status=failure"), _SHORT),
        Scenario("history of a case, failed, never, of 50 teams", _get(sound + "&status=failure"), _SHORT, caller="member"),
        Scenario("history of a case, of 50 teams", _get(history), _SHORT, caller="member"),
        Scenario("failing cases of a topic, 7 days", _get(
            "/topics/{topic_id}/failing_cases?from=" + (datetime.now(UTC) - timedelta(days=7)).strftime("%Y-%m-%d")), 200),
        Scenario("jobs, offset 50,000", _get("/jobs?limit=20&offset=50000"), _SHORT),
        Scenario("components, where type, tag", _get(components + "where=" + quote("type:compose,tags:build:ga")), _SHORT),
        Scenario("components, where text", _get(components + "where=" + quote("display_name:benchmark-4000")), _SHORT),
        Scenario("components, newest of a type", _get(
            "/topics/{topic_id}/components?limit=1&offset=0&sort=-released_at&query="
            + quote("and(eq(state,active),eq(type,compose))")), _SHORT),
        Scenario("identity, with a password", _get("/identity"), caller="user"),
        Scenario("jobs, with a password", _get("/jobs?limit=20&offset=0"), _SHORT, caller="user"),
        Scenario("jobs, of a member of 50 teams", _get("/jobs?limit=20&offset=0"), _SHORT, caller="member"),
        Scenario(
            "jobs, where state, of 50 teams", _get("/jobs?limit=20&offset=0&where=state%3Aactive"), _SHORT, caller="member"
        ),
        Scenario("components, of 50 teams", _get(components + "sort=-created_at"), _SHORT, caller="member"),
    ]  # fmt: skip


def _id_of(case: str) -> UUID:
    return UUID(bytes=md5(case.encode(), usedforsecurity=False).digest())


def _get(target: str) -> Play:
    async def play(laboratory: Laboratory) -> None:
        await laboratory.connection.send("GET", "/api/v1" + _filled(target, laboratory))

    return play


def _filled(target: str, laboratory: Laboratory) -> str:
    return target.replace("{topic_id}", laboratory.topic_id).replace("{job_id}", laboratory.job_id)
