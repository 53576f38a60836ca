# SPDX-License-Identifier: Apache-2.0
"""The shapes of test results and of a read JUnit report."""

from typing import Literal

import msgspec
from msgspec import Struct

from dci_server.features.jobs.model import Count


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


class TestcaseOfReport(Struct, frozen=True):
    name: str
    classname: str
    time: float
    action: Literal["success", "skipped", "error", "failure"]
    message: str | None
    type: str | None
    value: str | None
    stdout: str | None
    stderr: str | None
    properties: list[Property]
    state: Literal["ADDED"]
    successfix: bool
    regression: bool


class TestsuiteOfReport(Struct, frozen=True):
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
    properties: list[Property]
    testcases: list[TestcaseOfReport]


class Report(Struct, frozen=True):
    """A JUnit file, read (junit.md §6). Nothing is compared yet, so every case counts as added."""

    id: str
    name: str
    job: JobOfReport
    previous_job: JobOfReport | None
    testsuites: list[TestsuiteOfReport]
