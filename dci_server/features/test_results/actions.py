# SPDX-License-Identifier: Apache-2.0
"""What happens with a JUnit file: counted when it arrives, read when somebody looks."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast
from uuid import UUID

import msgspec

from dci_server.features.files.actions import read_content
from dci_server.features.test_results import queries
from dci_server.features.test_results.junit import (
    Case,
    InvalidXml,
    JunitParser,
    Span,
    Suite,
    Summary,
    read_text,
)
from dci_server.features.test_results.model import (
    JobOfReport,
    Property,
    Report,
    TestcaseOfReport,
    TestsuiteOfReport,
)
from dci_server.foundation.content import Unreadable
from dci_server.foundation.database.connection import Connection, Json, Record
from dci_server.foundation.errors import TooLarge
from dci_server.foundation.http import Call

MAX_REPORT_BYTES = 16 * 1024 * 1024
"""A report is answered as one document: above this it is to be downloaded instead."""
_SLICE = 64 * 1024


class JunitReader:
    """Counts the tests of an upload whose mime is `application/junit`."""

    async def read(self, chunks: AsyncIterator[bytes]) -> Summary:
        parser = JunitParser()
        try:
            async for chunk in chunks:
                for start in range(0, len(chunk), _SLICE):
                    parser.feed(chunk[start : start + _SLICE])
                    # The parser is Python that keeps the event loop: whoever waits is answered in between.
                    await asyncio.sleep(0)
            _, summary = parser.close()
        except InvalidXml as error:
            raise Unreadable(error.message) from error
        return summary

    async def store(self, db: Connection, file_id: UUID, findings: Summary) -> None:
        counts = {
            "total": findings.total,
            "success": findings.success,
            "skips": findings.skips,
            "failures": findings.failures,
            "errors": findings.errors,
            "time": findings.time,
        }
        await queries.insert_result(db, file_id, counts)


async def read_report(call: Call, file: Record) -> Json[Report]:
    """The suites and cases of a file, with their texts."""
    if file["size"] > MAX_REPORT_BYTES:
        raise TooLarge(f"the report is larger than {MAX_REPORT_BYTES} bytes; download it (GET /files/<id>/content)")
    content = b"".join([chunk async for chunk in await read_content(call, file)])
    # Sorted and told as a whole: in a thread, others are answered meanwhile.
    return Json(await asyncio.to_thread(_read_report, file, content))


def _read_report(file: Record, content: bytes) -> bytes:
    parser = JunitParser()
    cases = parser.feed(content)
    last, summary = parser.close()
    by_suite: dict[int, list[Case]] = {}
    for case in (*cases, *last):
        by_suite.setdefault(case.suite, []).append(case)
    job = JobOfReport(str(file["job_id"]), cast("str", file["job_name"]))
    texts = _Texts(content, parser.encoding)
    suites = [_told(suite, by_suite.get(suite.opened, []), texts) for suite in summary.suites]
    return msgspec.json.encode(Report(str(file["id"]), file["name"], job, None, suites))


class _Texts:
    """The texts of a report, read from their places in the file."""

    def __init__(self, content: bytes, encoding: str) -> None:
        self._content = content
        self._encoding = encoding

    def at(self, span: Span | None) -> str | None:
        if span is None:
            return None
        return read_text(self._content[span[0] : span[1]], self._encoding) or None


def _told(suite: Suite, cases: list[Case], texts: _Texts) -> TestsuiteOfReport:
    """Of cases with one name and class the last is told; the counters count all (junit.md §4)."""
    distinct = {(case.classname, case.name): case for case in cases}
    return TestsuiteOfReport(
        id=suite.id,
        name=suite.name,
        tests=suite.tests,
        success=suite.success,
        failures=suite.failures,
        errors=suite.errors,
        skipped=suite.skipped,
        time=suite.time,
        additions=len(distinct),
        deletions=0,
        unchanged=0,
        regressions=0,
        successfixes=0,
        properties=[Property(name, value) for name, value in suite.properties],
        testcases=[_case(case, texts) for case in sorted(distinct.values(), key=lambda case: case.name)],
    )


def _case(case: Case, texts: _Texts) -> TestcaseOfReport:
    return TestcaseOfReport(
        name=case.name,
        classname=case.classname,
        time=case.time,
        action=case.action,
        message=case.message,
        type=case.type,
        value="" if case.action == "success" else texts.at(case.value),
        stdout=texts.at(case.stdout),
        stderr=texts.at(case.stderr),
        properties=[],
        state="ADDED",
        successfix=False,
        regression=False,
    )
