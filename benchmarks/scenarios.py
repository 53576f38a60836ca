# SPDX-License-Identifier: Apache-2.0
"""What laboratories do, one scenario per budget and the whole run of a job."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from benchmarks.load import Laboratory, LoadError, Payload, Play

MEBIBYTE = 1024**2
FILES_OF_A_RUN = 20
CASES_OF_A_RUN = 2000
_FEW_CASES = 500
_MANY_CASES = 20_000
_HUGE_CASES = 1_000_000
_LOG_LINE = b"TASK [install : packages on node-%d] ... ok, changed=%d\n"


Caller: TypeAlias = Literal["laboratory", "user", "member"]
"""The laboratory of the demonstration, its user, and a user of many teams."""


@dataclass(frozen=True)
class Scenario:
    """`most` bounds the plays, `connections` those who play at once (None for as many as are asked for)."""

    name: str
    play: Play
    most: int = 20_000
    connections: int | None = None
    warm_up: int = 10
    transferred_bytes: int = 0
    requests_per_play: int = 1
    preparation: Play | None = None
    caller: Caller = "laboratory"


def scenarios(*, huge: bool) -> list[Scenario]:
    few, junit, many = (Payload.of(junit_of(cases)) for cases in (_FEW_CASES, CASES_OF_A_RUN, _MANY_CASES))
    found = [
        Scenario("identity", _identity),
        Scenario("topic by name", _topic_by_name),
        Scenario("components of a topic", _components),
        Scenario("schedule", _schedule),
        Scenario("jobstate", jobstate),
        _report(_FEW_CASES, few),
        _report(CASES_OF_A_RUN, junit),
        replace(_report(_MANY_CASES, many), most=20, connections=1, warm_up=1),
        Scenario("jobs, limit=20", _jobs),
        Scenario("job of a whole run", _job, preparation=prepare_full),
        Scenario("whole run", whole_run(), most=500, warm_up=1, requests_per_play=FILES_OF_A_RUN + 9),
    ]
    if huge:
        report = Payload.of(junit_of(_HUGE_CASES))
        found.append(
            Scenario(
                f"JUnit, {_HUGE_CASES:,} cases",
                upload(report, "application/junit"),
                most=1,
                connections=1,
                warm_up=0,
                transferred_bytes=report.size,
            )
        )
    return found


async def prepare(laboratory: Laboratory) -> None:
    """Looks its topic up and gets a job of its own, as a laboratory has: no two of them write to the same one."""
    await find_topic(laboratory)
    await _new_job(laboratory)


async def find_topic(laboratory: Laboratory) -> None:
    topics: list[Any] = (await laboratory.get(_topic_target(laboratory.topic)))["topics"]
    if not topics:
        raise LoadError(f"this laboratory sees no topic named {laboratory.topic}; choose another with --topic")
    laboratory.topic_id = topics[0]["id"]


async def prepare_full(laboratory: Laboratory) -> None:
    """Leaves the laboratory with the job of a whole run."""
    await prepare(laboratory)
    await whole_run()(laboratory)


def _topic_target(name: str) -> str:
    return f"/topics?where=name%3A{quote(name, safe='')}"


async def _new_job(laboratory: Laboratory) -> None:
    answer = await laboratory.post("/jobs/schedule", {"topic_id": laboratory.topic_id, "comment": "benchmark"})
    laboratory.job_id = answer["job"]["id"]


async def _identity(laboratory: Laboratory) -> None:
    await laboratory.connection.send("GET", "/api/v1/identity")


async def _topic_by_name(laboratory: Laboratory) -> None:
    await laboratory.connection.send("GET", f"/api/v1{_topic_target(laboratory.topic)}")


async def _components(laboratory: Laboratory) -> None:
    target = f"/api/v1/topics/{laboratory.topic_id}/components?limit=20&offset=0"
    await laboratory.connection.send("GET", target)


async def _schedule(laboratory: Laboratory) -> None:
    await laboratory.post("/jobs/schedule", {"topic_id": laboratory.topic_id, "comment": "benchmark"})


async def jobstate(laboratory: Laboratory) -> None:
    await _enter(laboratory, "running")


async def _enter(laboratory: Laboratory, status: str) -> None:
    await laboratory.post("/jobstates", {"job_id": laboratory.job_id, "status": status, "comment": "benchmark"})


async def _jobs(laboratory: Laboratory) -> None:
    await laboratory.connection.send("GET", "/api/v1/jobs?limit=20&offset=0")


async def _job(laboratory: Laboratory) -> None:
    await laboratory.connection.send("GET", f"/api/v1/jobs/{laboratory.job_id}")


def upload(payload: Payload, mime: str = "text/plain") -> Play:
    async def play(laboratory: Laboratory) -> None:
        await laboratory.upload("benchmark", payload, mime)

    return play


def _report(cases: int, report: Payload) -> Scenario:
    """Each is in a job of its own, and so compared with the equal report of the job before it."""

    async def play(laboratory: Laboratory) -> None:
        await _new_job(laboratory)
        await laboratory.upload(f"{cases} cases", report, "application/junit")

    return Scenario(f"JUnit, {cases:,} cases", play, most=1000, transferred_bytes=report.size, requests_per_play=2)


def whole_run() -> Play:
    log, junit = Payload.of(log_text(2048)), Payload.of(junit_of(CASES_OF_A_RUN))

    async def play(laboratory: Laboratory) -> None:
        await _identity(laboratory)
        await _topic_by_name(laboratory)
        await _components(laboratory)
        await _new_job(laboratory)
        for status in ("pre-run", "running"):
            await _enter(laboratory, status)
        for number in range(FILES_OF_A_RUN):
            await laboratory.upload(f"task {number}", log, "application/x-ansible-output")
        await laboratory.upload("results.xml", junit, "application/junit")
        await _enter(laboratory, "success")
        await _job(laboratory)

    return play


def log_text(size: int) -> bytes:
    lines: list[bytes] = []
    length = 0
    while length < size:
        lines.append(_LOG_LINE % (len(lines), len(lines) * 7919 % 1000))
        length += len(lines[-1])
    return b"".join(lines)[:size]


def junit_of(cases: int) -> bytes:
    failing = '<failure message="expected 0, was 1" type="AssertionError">line 1\nline 2</failure>'
    elements = [
        f'<testcase classname="suite.module_{n // 50}" name="test_case_{n}" time="{n % 100 / 10}">'
        f"{failing if n % 40 == 0 else '<skipped/>' if n % 50 == 1 else ''}</testcase>"
        for n in range(cases)
    ]
    return f'<testsuites><testsuite name="benchmark">{"".join(elements)}</testsuite></testsuites>'.encode()
