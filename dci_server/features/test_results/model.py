# SPDX-License-Identifier: Apache-2.0
"""The shapes of test results and of a read JUnit report."""

from typing import Literal

import msgspec
from msgspec import Struct

from dci_server.features.jobs.model import Count
from dci_server.foundation.shapes import Status as StatusOfJob

Status = Literal["success", "skipped", "error", "failure"]
State = Literal["ADDED", "REMOVED", "UNCHANGED", "REGRESSED", "RECOVERED", "SKIPPED"]


class TestsOfFile(Struct, frozen=True):
    """How the tests of one JUnit file went."""

    name: str
    filename: str
    total: int
    success: int
    skips: int
    failures: int
    errors: int
    regressions: int
    successfixes: int
    time: int
    file_id: str


class ResultsAnswer(Struct):
    results: list[TestsOfFile]
    meta: Count = msgspec.field(name="_meta")


class JobOfReport(Struct, frozen=True):
    id: str
    name: str


class Property(Struct, frozen=True):
    name: str
    value: str


class TestcaseHead(Struct, frozen=True):
    """A case without its texts, which may be long."""

    name: str
    classname: str
    time: float
    action: Status
    message: str | None
    type: str | None
    properties: tuple[()] = ()
    state: State = "ADDED"
    successfix: bool = False
    regression: bool = False


class TestcaseOfReport(TestcaseHead, frozen=True, kw_only=True):
    value: str | None
    stdout: str | None
    stderr: str | None


class TestsuiteHead(Struct, frozen=True):
    """A suite without its cases."""

    id: int
    name: str
    tests: int
    success: int
    failures: int
    errors: int
    skipped: int
    time: float
    additions: int
    deletions: int
    unchanged: int
    regressions: int
    successfixes: int


class TestsuiteOfReport(TestsuiteHead, frozen=True):
    properties: list[Property]
    testcases: list[TestcaseOfReport]


class ReportHead(Struct, frozen=True):
    id: str
    name: str
    job: JobOfReport
    previous_job: JobOfReport | None


class Report(ReportHead, frozen=True):
    """A JUnit file, read and compared with the previous run (junit.md §6)."""

    testsuites: list[TestsuiteOfReport]


class NextPage(Struct, frozen=True):
    """`next` is the `after` of the next page; null on the last one."""

    next: str | None


class CaseOfJob(Struct, frozen=True):
    """A test case in one report. `test_id` is the same in every report."""

    test_id: str
    suite: str
    classname: str
    name: str
    status: Status
    state: State
    time: float
    type: str | None
    message: str | None
    file_id: str
    filename: str


class CasesAnswer(Struct):
    cases: list[CaseOfJob]
    meta: NextPage = msgspec.field(name="_meta")


class JobOfRun(Struct, frozen=True):
    id: str
    name: str
    status: StatusOfJob
    created_at: str


class Named(Struct, frozen=True):
    id: str
    name: str


class VersionOfRun(Struct, frozen=True):
    """A component that the job tested."""

    id: str
    type: str
    display_name: str
    version: str


class RunOfCase(Struct, frozen=True):
    """How one test case went in one job."""

    created_at: str
    status: Status
    state: State
    time: float
    type: str | None
    message: str | None
    file_id: str
    team_id: str
    job: JobOfRun
    topic: Named
    remoteci: Named
    components: list[VersionOfRun]


class RunsAnswer(Struct):
    runs: list[RunOfCase]
    meta: NextPage = msgspec.field(name="_meta")


class FailingCase(Struct, frozen=True):
    """How often a test case failed or broke, in how many jobs, and on how many remotecis."""

    test_id: str
    suite: str
    classname: str
    name: str
    failures: int
    jobs: int
    remotecis: int
    last_failure: str


class FailingCasesAnswer(Struct):
    cases: list[FailingCase]
    meta: NextPage = msgspec.field(name="_meta")
