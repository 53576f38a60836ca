# SPDX-License-Identifier: Apache-2.0
"""Cases are found: in a job, through time, and among what fails on a topic; by those who see their jobs."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from dci_server.features.test_results.model import CasesAnswer, FailingCasesAnswer, RunsAnswer
from tests.conftest import ClientOf, World

_BEGIN = datetime(2026, 1, 1)
_RANGE = "from=2026-01-01&to=2026-02-01"


def report(**suites: dict[str, str]) -> bytes:
    """Suite → case → what the case holds; its time is the number of its place."""
    told = (
        f'<testsuite name="{suite}">'
        + "".join(
            f'<testcase classname="c" name="{name}" time="{number}">{inner}</testcase>'
            for number, (name, inner) in enumerate(cases.items())
        )
        + "</testsuite>"
        for suite, cases in suites.items()
    )
    return f"<a>{''.join(told)}</a>".encode()


FAILS, BREAKS, SKIPS, PASSES = '<failure type="T" message="m"/>', "<error/>", "<skipped/>", ""


class Lab:
    def __init__(self, client_of: ClientOf, world: World) -> None:
        self._client_of = client_of
        self._world = world

    async def run(self, content: bytes, day: int = 1, who: str = "blue_lab", **values: Any) -> str:
        moment = _BEGIN + timedelta(days=day)
        job = await self._world.job(lab=who, **{"created_at": moment, "name": "nightly", **values})
        await self.upload(job, content, who)
        return job

    async def upload(self, job: str, content: bytes, who: str = "blue_lab", name: str = "tests") -> str:
        headers = {"DCI-NAME": name, "DCI-JOB-ID": job, "DCI-MIME": "application/junit"}
        response = await self._client_of(who).post("/files", content=content, headers=headers)
        assert response.status_code == 201, response.text
        return response.json()["file"]["id"]

    async def cases(self, job: str, query: str = "") -> CasesAnswer:
        return _read(await self._client_of("alice").get(f"/jobs/{job}/cases?{query}"), CasesAnswer)

    async def runs(self, test_id: str, query: str = "", who: str = "alice") -> RunsAnswer:
        return _read(await self._client_of(who).get(f"/cases/{test_id}/runs?{query}"), RunsAnswer)

    async def failing(self, query: str = _RANGE, who: str = "alice") -> FailingCasesAnswer:
        topic = self._world.ids["RHEL-9.6"]
        return _read(await self._client_of(who).get(f"/topics/{topic}/failing_cases?{query}"), FailingCasesAnswer)


def _read(response: httpx.Response, shape: Any) -> Any:
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=shape)


@pytest.fixture
def lab(client_of: ClientOf, world: World) -> Lab:
    return Lab(client_of, world)


async def test_the_cases_of_a_job_are_those_of_its_reports(lab: Lab) -> None:
    job = await lab.run(report(one={"b": FAILS, "a": PASSES}, two={"c": SKIPS}))
    await lab.upload(job, report(one={"b": BREAKS}), name="more")
    await lab.run(report(other={"x": PASSES}))

    answer = await lab.cases(job)

    assert [(case.filename, case.suite, case.name, case.status) for case in answer.cases] == [
        ("tests", "one", "b", "failure"),
        ("tests", "one", "a", "success"),
        ("tests", "two", "c", "skipped"),
        ("more", "one", "b", "error"),
    ]
    first, second, _, last = answer.cases
    assert (first.state, first.type, first.message, first.time, second.time) == ("ADDED", "T", "m", 0, 1)
    assert first.test_id == last.test_id != second.test_id
    assert answer.meta.next is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=failure", "b"),
        ("status=failure,skipped", "bc"),
        ("state=ADDED", "c"),
        ("state=REGRESSED,UNCHANGED", "Aab"),
        ("state=REMOVED", ""),
        ("name=A", "Aa"),
        ("name=%25", ""),
        ("name=a%00", ""),
        ("suite=two", "Ac"),
        ("suite=tw", ""),
        ("minimum_time=1", "bc"),
        ("minimum_time=0.5&suite=one", "b"),
    ],
)
async def test_cases_are_narrowed(lab: Lab, query: str, found: str) -> None:
    await lab.run(report(one={"a": PASSES, "b": PASSES}, two={"A": PASSES}))
    job = await lab.run(report(one={"a": PASSES, "b": FAILS}, two={"A": PASSES, "c": SKIPS}), day=2)

    answer = await lab.cases(job, query)

    assert "".join(sorted(case.name for case in answer.cases)) == found


@pytest.mark.parametrize("filters", ["", "&suite=one"])
async def test_pages_follow_each_other(lab: Lab, filters: str) -> None:
    job = await lab.run(report(one={f"{number:02}": PASSES for number in range(25)}))
    await lab.upload(job, report(one={f"{number:02}": PASSES for number in range(25)}))
    names: list[str] = []
    after: str | None = ""

    while after is not None:
        answer = await lab.cases(job, f"limit=7{filters}{after}")
        names.extend(case.name for case in answer.cases)
        after = answer.meta.next and f"&after={answer.meta.next}"

    assert names == [f"{number:02}" for number in range(25)] * 2


@pytest.mark.parametrize(
    "query",
    ["stauts=failure", "sort=name", "status=good", "state=added", "minimum_time=long", "minimum_time=-1", "limit=0", "limit=201", "limit=x",
     "after=x", "after=1", "after=1.2.3", "after=1.99999999999", "after=1.-1", "after=99999999999999999999.1"],
)  # fmt: skip
async def test_what_makes_no_sense_is_explained(lab: Lab, client_of: ClientOf, query: str) -> None:
    job = await lab.run(report(one={"a": PASSES}))

    response = await client_of("alice").get(f"/jobs/{job}/cases?{query}")

    assert response.status_code == 400
    assert query.partition("=")[0] in response.json()["message"]


async def test_the_cases_of_a_deleted_file_are_gone(lab: Lab, client_of: ClientOf, world: World) -> None:
    job = await lab.run(report(one={"a": FAILS}))
    (case,) = (await lab.cases(job)).cases
    assert (await client_of("blue_lab").delete(f"/files/{case.file_id}")).status_code == 204

    assert (await lab.cases(job)).cases == []
    assert (await lab.runs(case.test_id)).runs == []
    assert (await lab.failing()).cases == []


async def test_the_result_of_a_deleted_file_is_told_nowhere(lab: Lab, client_of: ClientOf) -> None:
    job = await lab.run(report(one={"a": FAILS}))
    (case,) = (await lab.cases(job)).cases
    alice = client_of("alice")

    async def results() -> list[int]:
        one, listed = (await alice.get(f"/jobs/{job}")).json()["job"], (await alice.get("/jobs")).json()["jobs"][0]
        return [len(told["results"]) for told in (one, listed, (await alice.get(f"/jobs/{job}/results")).json())]

    assert await results() == [1, 1, 1]
    await client_of("blue_lab").delete(f"/files/{case.file_id}")
    assert await results() == [0, 0, 0]


async def test_the_history_of_a_case_is_told_newest_first(lab: Lab, world: World) -> None:
    job = ""
    for day, inner in enumerate((PASSES, FAILS, PASSES), 1):
        job = await lab.run(report(one={"a": inner, "b": PASSES}), day)
        await world.db.execute("insert into jobs_components values ($1::uuid, $2::uuid)", job, world.ids["compose"])
    test_id = (await lab.cases(job)).cases[0].test_id

    runs = (await lab.runs(test_id)).runs

    assert [run.status for run in runs] == ["success", "failure", "success"]
    assert [run.state for run in runs] == ["RECOVERED", "REGRESSED", "ADDED"]
    newest = runs[0]
    assert (newest.job.id, newest.job.name, newest.job.status) == (job, "nightly", "new")
    assert (newest.topic.name, newest.remoteci.name, newest.team_id) == ("RHEL-9.6", "blue_lab", world.ids["Blue"])
    assert [(found.type, found.version) for found in newest.components] == [("compose", "9.6.0-1")]


async def test_a_history_is_narrowed_and_paged(lab: Lab, world: World) -> None:
    other = await world.add("topics", name="RHEL-10", product_id=world.ids["RHEL"])
    job = ""
    for day in range(1, 10):
        topic = {"topic_id": other} if day % 3 == 0 else {}
        job = await lab.run(report(one={"a": FAILS if day % 2 else PASSES}), day, **topic)
    test_id = (await lab.cases(job)).cases[0].test_id

    assert len((await lab.runs(test_id, "status=failure")).runs) == 5
    assert len((await lab.runs(test_id, f"topic_id={other}")).runs) == 3
    assert len((await lab.runs(test_id, f"remoteci_id={world.ids['red_lab']}")).runs) == 0
    first = await lab.runs(test_id, "limit=4")
    second = await lab.runs(test_id, f"limit=4&after={first.meta.next}")
    third = await lab.runs(test_id, f"limit=4&after={second.meta.next}")
    told = [run.job.id for page in (first, second, third) for run in page.runs]
    assert (len(told), len(set(told)), third.meta.next) == (9, 9, None)


@pytest.mark.parametrize(
    "query", ["name=x", "topic_id=x", "remoteci_id=1", "status=bad", "after=1.2", "after=1.2.a", "limit=0"]
)
async def test_a_history_that_makes_no_sense_is_explained(lab: Lab, client_of: ClientOf, query: str) -> None:
    response = await client_of("alice").get(f"/cases/00000000-0000-0000-0000-000000000000/runs?{query}")

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("who", "count"), [("alice", 1), ("blue_lab", 1), ("bob", 2), ("reader", 3), ("admin", 3), ("nobody", 0)]
)
async def test_a_history_is_of_the_jobs_that_the_caller_sees(lab: Lab, who: str, count: int) -> None:
    job = await lab.run(report(one={"a": FAILS}))
    await lab.run(report(one={"a": FAILS}), who="red_lab")
    await lab.run(report(one={"a": PASSES}), who="red_lab")
    test_id = (await lab.cases(job)).cases[0].test_id

    assert len((await lab.runs(test_id, who=who)).runs) == count


async def test_an_unknown_case_has_no_history(lab: Lab) -> None:
    assert (await lab.runs("00000000-0000-0000-0000-000000000000")).runs == []


async def test_the_failing_cases_of_a_topic_are_counted(lab: Lab, world: World) -> None:
    await lab.run(report(one={"a": FAILS, "b": FAILS, "c": PASSES}), 1)
    await lab.run(report(one={"a": BREAKS, "b": PASSES, "c": SKIPS}), 2)
    await lab.run(report(one={"a": FAILS}), 3, who="red_lab")
    await lab.run(report(one={"a": FAILS}), 40)
    await lab.run(
        report(one={"a": FAILS}), 3, topic_id=await world.add("topics", name="x", product_id=world.ids["RHEL"])
    )

    everything = (await lab.failing(who="admin")).cases
    own = (await lab.failing()).cases

    assert [(case.name, case.failures, case.jobs, case.remotecis) for case in everything] == [
        ("a", 3, 3, 2),
        ("b", 1, 1, 1),
    ]
    assert [(case.name, case.failures, case.remotecis) for case in own] == [("a", 2, 1), ("b", 1, 1)]
    assert everything[0].last_failure == "2026-01-04T00:00:00"
    assert (await lab.failing("from=2026-01-03&to=2026-01-04")).cases[0].failures == 1


async def test_failing_cases_are_paged(lab: Lab) -> None:
    await lab.run(report(one={str(number): FAILS for number in range(9)}))
    await lab.run(report(one={str(number): FAILS for number in range(3)}), 2)
    told: list[tuple[str, int]] = []
    after: str | None = ""

    while after is not None:
        answer = await lab.failing(f"{_RANGE}&limit=4{after}")
        told.extend((case.name, case.failures) for case in answer.cases)
        after = answer.meta.next and f"&after={answer.meta.next}"

    assert sorted(told) == [(str(number), 2 if number < 3 else 1) for number in range(9)]
    assert [count for _, count in told] == [2] * 3 + [1] * 6


@pytest.mark.parametrize(
    "query",
    ["form=2026-01-01", "from=yesterday", "from=2026-02-01&to=2026-01-01", "from=2020-01-01&to=2026-01-01", "after=1", "after=1.2", "after=x.y",
     "from=0001-01-01&to=0001-01-02&limit=0", "to=0001-01-01"],
)  # fmt: skip
async def test_a_range_that_makes_no_sense_is_explained(client_of: ClientOf, world: World, query: str) -> None:
    response = await client_of("alice").get(f"/topics/{world.ids['RHEL-9.6']}/failing_cases?{query}")

    assert response.status_code == 400
