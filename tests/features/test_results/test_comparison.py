# SPDX-License-Identifier: Apache-2.0
"""A report is compared with that of the previous run when it arrives (junit.md §4 and §5, decisions 42 and 43)."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from dci_server.features.test_results import model
from tests.conftest import ClientOf, World

_BEGIN = datetime(2026, 1, 1)
_CHILDREN = {"success": "", "skipped": "<skipped/>", "failure": "<failure>old</failure>", "error": "<error/>"}


def case(name: str, status: str, classname: str = "c") -> str:
    return f'<testcase name="{name}" classname="{classname}">{_CHILDREN[status]}</testcase>'


def suite(*cases: str, name: str = "s") -> str:
    return f'<testsuite name="{name}">{"".join(cases)}</testsuite>'


class Runs:
    """Jobs of one laboratory, a day apart."""

    def __init__(self, client_of: ClientOf, world: World) -> None:
        self._client_of = client_of
        self._world = world
        self._count = 0

    async def job(self, **values: Any) -> str:
        self._count += 1
        moment = _BEGIN + timedelta(days=self._count)
        facts: dict[str, Any] = {"name": "nightly", "configuration": "c", "url": "u", "created_at": moment, **values}
        return await self._world.job(**facts)

    async def upload(self, job: str, *suites: str, name: str = "tests") -> str:
        response = await self._client_of("blue_lab").post(
            "/files",
            content=f"<testsuites>{''.join(suites)}</testsuites>".encode(),
            headers={"DCI-NAME": name, "DCI-JOB-ID": job, "DCI-MIME": "application/junit"},
        )
        assert response.status_code == 201, response.text
        return response.json()["file"]["id"]

    async def report(self, file_id: str) -> model.Report:
        answer = await self._client_of("alice").get(f"/files/{file_id}/junit")
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=model.Report)

    async def compared(self, before: list[str], now: list[str]) -> list[model.TestsuiteOfReport]:
        await self.upload(await self.job(), *before)
        return (await self.report(await self.upload(await self.job(), *now))).testsuites

    async def result(self, job: str) -> dict[str, Any]:
        return (await self._client_of("alice").get(f"/jobs/{job}/results")).json()["results"][-1]


@pytest.fixture
def runs(client_of: ClientOf, world: World) -> Runs:
    return Runs(client_of, world)


_TRANSITIONS = [
    (None, "success", "ADDED", "additions"),
    (None, "failure", "ADDED", "additions"),
    (None, "skipped", "ADDED", "additions"),
    ("success", None, "REMOVED", "deletions"),
    ("failure", None, "REMOVED", "deletions"),
    ("success", "success", "UNCHANGED", "unchanged"),
    ("failure", "failure", "UNCHANGED", "unchanged"),
    ("error", "error", "UNCHANGED", "unchanged"),
    ("skipped", "skipped", "UNCHANGED", "unchanged"),
    ("success", "failure", "REGRESSED", "regressions"),
    ("success", "error", "REGRESSED", "regressions"),
    ("skipped", "failure", "REGRESSED", "regressions"),
    ("skipped", "error", "REGRESSED", "regressions"),
    ("failure", "success", "RECOVERED", "successfixes"),
    ("error", "success", "RECOVERED", "successfixes"),
    ("error", "failure", "UNCHANGED", "unchanged"),
    ("failure", "error", "UNCHANGED", "unchanged"),
    ("success", "skipped", "UNCHANGED", "unchanged"),
    ("failure", "skipped", "SKIPPED", None),
    ("error", "skipped", "SKIPPED", None),
    ("skipped", "success", "ADDED", None),
]


@pytest.mark.parametrize(("before", "now", "state", "counter"), _TRANSITIONS)
async def test_every_transition_has_a_state(
    runs: Runs, before: str | None, now: str | None, state: str, counter: str | None
) -> None:
    (found,) = await runs.compared(
        [suite(*([case("a", before)] if before else []))], [suite(*([case("a", now)] if now else []))]
    )

    (told,) = found.testcases
    assert told.state == state
    assert (told.regression, told.successfix) == (state == "REGRESSED", state == "RECOVERED")
    counters = ("additions", "deletions", "unchanged", "regressions", "successfixes")
    assert {name: getattr(found, name) for name in counters} == {name: int(name == counter) for name in counters}


async def test_the_counters_are_those_of_the_result_too(runs: Runs, client_of: ClientOf) -> None:
    await runs.upload(await runs.job(), suite(case("a", "success"), case("b", "failure")), suite(name="t"))
    job = await runs.job()
    await runs.upload(job, suite(case("a", "failure"), case("b", "success")), suite(case("a", "error"), name="t"))

    result = await runs.result(job)

    assert (result["regressions"], result["successfixes"], result["total"]) == (1, 1, 3)
    embedded = (await client_of("alice").get(f"/jobs/{job}")).json()["job"]["results"][0]
    assert (embedded["regressions"], embedded["successfixes"]) == (1, 1)
    assert "cases" not in embedded


async def test_a_removed_case_is_told_with_what_the_previous_run_said(runs: Runs) -> None:
    (found,) = await runs.compared([suite(case("b", "failure"), case("c", "success"))], [suite(case("a", "success"))])

    a, b, c = found.testcases
    assert [each.state for each in (a, b, c)] == ["ADDED", "REMOVED", "REMOVED"]
    assert (b.action, b.value, c.value) == ("failure", "old", "")
    assert (found.tests, found.deletions, found.additions) == (1, 2, 1)


async def test_suites_that_are_gone_are_not_told(runs: Runs) -> None:
    found = await runs.compared([suite(case("a", "success")), suite(case("b", "success"), name="gone")], [suite()])

    assert [(each.name, each.deletions) for each in found] == [("s", 1)]


async def test_of_repeated_cases_the_last_counts_in_the_comparison(runs: Runs) -> None:
    (found,) = await runs.compared(
        [suite(case("a", "failure"), case("a", "success"))],
        [suite(case("a", "success"), case("a", "failure"), case("a", "failure", "other"))],
    )

    assert (found.tests, found.failures, found.success) == (3, 2, 1)
    assert [(each.classname, each.action, each.state) for each in found.testcases] == [
        ("c", "failure", "REGRESSED"),
        ("other", "failure", "ADDED"),
    ]
    assert (found.regressions, found.additions) == (1, 1)


async def test_of_repeated_suites_the_last_is_compared_with(runs: Runs) -> None:
    first, second = await runs.compared(
        [suite(case("a", "failure"), case("b", "failure")), suite(case("a", "success"))],
        [suite(case("a", "success")), suite(case("a", "failure"), case("b", "failure"))],
    )

    assert [each.state for each in first.testcases] == ["UNCHANGED"]
    assert [each.state for each in second.testcases] == ["REGRESSED", "ADDED"]
    assert (first.deletions, second.deletions) == (0, 0)


async def test_nested_suites_are_compared_by_name(runs: Runs) -> None:
    def nested(status: str) -> str:
        return f'<testsuite name="outer">{suite(case("i", "success"), name="inner")}{case("o", status)}</testsuite>'

    inner, outer = await runs.compared([nested("success")], [nested("failure")])

    assert [(each.name, each.testcases[0].state) for each in (inner, outer)] == [
        ("inner", "UNCHANGED"),
        ("outer", "REGRESSED"),
    ]


@pytest.mark.parametrize(
    ("values", "is_compared"),
    [
        ({}, True),
        ({"tags": ["other"], "comment": "other", "status": "failure"}, True),
        ({"name": "weekly"}, False),
        ({"configuration": "other"}, False),
        ({"url": "other"}, False),
        ({"state": "archived"}, False),
        ({"created_at": _BEGIN + timedelta(days=9)}, False),
        ({"lab": "red_lab"}, False),
    ],
)
async def test_the_previous_run_is_the_latest_that_says_the_same_of_itself(
    runs: Runs, world: World, values: dict[str, Any], is_compared: bool
) -> None:
    before = await runs.job(**{key: value for key, value in values.items() if key not in {"state", "lab"}})
    await runs.upload(before, suite(case("a", "success")))
    if "state" in values:
        await world.db.execute("update jobs set state = 'archived' where id = $1::uuid", before)
    if "lab" in values:
        await world.db.execute(
            "update jobs set remoteci_id = $2::uuid where id = $1::uuid", before, world.ids["red_lab"]
        )

    report = await runs.report(await runs.upload(await runs.job(), suite(case("a", "failure"))))

    assert report.testsuites[0].testcases[0].state == ("REGRESSED" if is_compared else "ADDED")
    assert (report.previous_job.id if report.previous_job else None) == (before if is_compared else None)


async def test_a_run_of_the_team_that_had_the_laboratory_before_is_compared_with_nothing(
    runs: Runs, world: World
) -> None:
    before = await runs.job()
    await runs.upload(before, suite(case("secret of Red", "success")))
    await world.db.execute("update jobs set team_id = $1 where id = $2", world.ids["Red"], before)

    report = await runs.report(await runs.upload(await runs.job(), suite(case("a", "success"))))

    assert report.previous_job is None
    assert [(each.name, each.state) for each in report.testsuites[0].testcases] == [("a", "ADDED")]


async def test_only_the_previous_job_is_looked_at(runs: Runs) -> None:
    await runs.upload(await runs.job(), suite(case("a", "success")))
    between = await runs.job()

    report = await runs.report(await runs.upload(await runs.job(), suite(case("a", "failure"))))

    assert report.previous_job is not None
    assert report.previous_job.id == between
    assert report.testsuites[0].testcases[0].state == "ADDED"


async def test_of_two_files_with_one_name_the_latest_is_compared_with(runs: Runs, client_of: ClientOf) -> None:
    before = await runs.job()
    await runs.upload(before, suite(case("a", "failure")))
    await runs.upload(before, suite(case("a", "success")))
    await runs.upload(before, suite(case("a", "failure")), name="other")
    deleted = await runs.upload(before, suite(case("a", "failure")))
    assert (await client_of("blue_lab").delete(f"/files/{deleted}")).status_code == 204

    report = await runs.report(await runs.upload(await runs.job(), suite(case("a", "failure"))))

    assert report.testsuites[0].testcases[0].state == "REGRESSED"


async def test_a_comparison_stays_when_the_previous_run_is_purged(
    runs: Runs, client_of: ClientOf, world: World
) -> None:
    before, now = await runs.job(), await runs.job()
    await runs.upload(before, suite(case("a", "success"), case("b", "success")))
    file_id = await runs.upload(now, suite(case("a", "failure")))
    await world.db.execute("update jobs set state = 'archived' where id = $1::uuid", before)
    assert (await client_of("admin").post("/jobs/purge")).status_code == 204

    report = await runs.report(file_id)

    assert report.previous_job is None
    assert [(each.name, each.state) for each in report.testsuites[0].testcases] == [("a", "REGRESSED")]
    assert report.testsuites[0].deletions == 1


async def test_a_report_with_many_cases_is_compared_piece_by_piece(runs: Runs) -> None:
    before = [suite(*(case(f"{number:05}", "success") for number in range(9_000)))]
    now = [suite(*(case(f"{number:05}", "failure" if number % 3 else "success") for number in range(1, 9_001)))]

    (found,) = await runs.compared(before, now)

    assert (found.regressions, found.unchanged, found.additions, found.deletions) == (6_000, 2_999, 1, 1)
    assert [each.name for each in found.testcases] == [f"{number:05}" for number in range(9_001)]


_REPETITIVE = {
    "one case": [suite(*[case("a", "success")] * 20_000)],
    "one suite": [suite(case("a", "success"))] * 10_000,
    "one suite that lacks a case": [
        suite(case("a", "success"), case("b", "success")),
        *[suite(case("a", "success"))] * 5_000,
    ],
    "one suite with a case more": [
        *[suite(case("a", "success"))] * 5_000,
        suite(case("a", "success"), case("b", "success")),
    ],
    "suites with names": [suite(case("a", "success"), name=str(number)) for number in range(5_000)],
}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("one case", "one case"),
        ("one suite", "one case"),
        ("one case", "one suite"),
        ("one suite with a case more", "one suite"),
        ("one suite with a case more", "one suite that lacks a case"),
        ("suites with names", "suites with names"),
    ],
)
async def test_reports_that_repeat_themselves_are_compared_within_the_time_of_a_statement(
    runs: Runs, before: str, now: str
) -> None:
    found = await runs.compared(_REPETITIVE[before], _REPETITIVE[now])

    assert len(found) == len(_REPETITIVE[now])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("filling", [0, 70_000])
async def test_rows_tell_what_the_file_tells(runs: Runs, client_of: ClientOf, encoding: str, filling: int) -> None:
    """The same bytes under another media type are read from the file at each look."""
    document = f"""<?xml version="1.0" encoding="{encoding}"?><testsuites><testsuite name="é&amp;">
    <properties><property name="p" value="&quot;é&quot;"/><property name="q"/></properties>
    <testcase name="b" classname="é" time="1.5"><failure message="m&#10;é" type="T">é &lt;b&gt; <i>in</i>
    <![CDATA[]] <raw> &amp;]]></failure><system-out>{"ü" * filling}
    \r\n"quoted" \\ é</system-out><system-err>e</system-err></testcase>
    <testcase name="B" time="x"><skipped message=""/></testcase>
    <testcase name="b" classname="é"><error> </error><system-out/></testcase>
    <testcase><rerunFailure>no</rerunFailure></testcase>
    <testsuite/></testsuite><testsuite name="2"><testcase name="z" time="-1e3"/></testsuite></testsuites>"""
    content, job = document.encode(encoding), await runs.job()
    answers: list[Any] = []
    for mime in ("application/junit", "text/xml"):
        headers = {"DCI-NAME": "tests", "DCI-JOB-ID": job, "DCI-MIME": mime}
        uploaded = await client_of("blue_lab").post("/files", content=content, headers=headers)
        answers.append((await client_of("alice").get(f"/files/{uploaded.json()['file']['id']}/junit")).json())

    recorded, read = answers

    assert recorded["testsuites"] == read["testsuites"]
    assert recorded["job"] == read["job"]
    assert [each["name"] for each in recorded["testsuites"]] == ["", "é&", "2"]
