# SPDX-License-Identifier: Apache-2.0
"""PUT /files/<id>/content: a report gets properties afterwards, and its results stay what they were."""

import gzip
import hashlib
import zlib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from dci_server.features.files.model import store_key
from dci_server.foundation.http import Application
from dci_server.foundation.storage.removal import remove_due
from tests.conftest import ClientOf, World

REPORT = b"""<testsuites><testsuite name="s">
  <properties><property name="of" value="suite"/></properties>
  <testcase name="a" classname="c" time="1"><failure message="m" type="t">why</failure></testcase>
  <testcase name="b" classname="c" time="2"/>
</testsuite></testsuites>"""
WITH_PROPERTIES = REPORT.replace(b'time="1">', b'time="1"><properties><property name="k" value="v"/></properties>')
BIG = REPORT.replace(b"why", b"why " * 30_000)
OTHERS = {
    "another name": REPORT.replace(b'"b"', b'"B"'),
    "another text": REPORT.replace(b"why", b"why not"),
    "another message": REPORT.replace(b'"m"', b'"n"'),
    "a property of the suite": REPORT.replace(b'"suite"', b'"other"'),
    "one more case": REPORT.replace(b"</testsuite>", b'<testcase name="z" classname="c"/></testsuite>'),
    "one case less": REPORT.replace(b'<testcase name="b" classname="c" time="2"/>', b""),
    "passed": REPORT.replace(b'<failure message="m" type="t">why</failure>', b""),
}


async def upload(
    client: httpx.AsyncClient, job: str, content: bytes, mime: str = "application/junit"
) -> dict[str, str]:
    headers = {"DCI-NAME": "report", "DCI-JOB-ID": job, "DCI-MIME": mime}
    response = await client.post("/files", content=content, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()["file"]


async def put(client: httpx.AsyncClient, file: dict[str, str], content: bytes, **headers: str) -> httpx.Response:
    said = {"Content-Type": "application/junit", "If-match": file["etag"], **headers}
    return await client.put(f"/files/{file['id']}/content", content=content, headers=said)


BIG_WITH_PROPERTIES = WITH_PROPERTIES.replace(b"why", b"why " * 30_000)


async def test_who_began_to_read_a_report_reads_the_old_one_to_its_end(
    client_of: ClientOf, app: Application, world: World
) -> None:
    assert app.services is not None
    lab, store = client_of("blue_lab"), app.services.store
    file = await upload(lab, await world.job(), BIG)
    key = store_key(file["team_id"], file["job_id"], file["id"])
    begun = await store.read(key)
    first = await anext(begun)

    assert (await put(lab, file, BIG_WITH_PROPERTIES)).status_code == 200
    await remove_due(app.services.db, store)

    assert first + b"".join([piece async for piece in begun]) == BIG
    assert b"".join([piece async for piece in await store.read(key, 1000)]) == BIG[1000:]
    assert (await lab.get(f"/files/{file['id']}/content")).content == BIG_WITH_PROPERTIES


async def test_who_finds_the_old_bytes_gone_gets_the_new_ones(
    client_of: ClientOf, app: Application, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.services is not None
    lab, store = client_of("blue_lab"), app.services.store
    file = await upload(lab, await world.job(), BIG)
    read = store.read

    async def read_after_a_replacement(key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        monkeypatch.setattr(store, "read", read)
        await put(lab, file, BIG_WITH_PROPERTIES)
        await store.delete(key)
        return await read(key, start, length)

    monkeypatch.setattr(store, "read", read_after_a_replacement)

    response = await lab.get(f"/files/{file['id']}/content")

    assert (response.status_code, response.content) == (200, BIG_WITH_PROPERTIES)
    assert response.headers["content-length"] == str(len(BIG_WITH_PROPERTIES))


@pytest.mark.parametrize("size", ["small", "big"])
async def test_properties_of_cases_may_be_added_and_taken_away(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, size: str
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    before = REPORT if size == "small" else BIG
    after = WITH_PROPERTIES if size == "small" else WITH_PROPERTIES.replace(b"why", b"why " * 30_000)
    file = await upload(lab, job, before)
    results = (await lab.get(f"/jobs/{job}/results")).json()
    report = (await lab.get(f"/files/{file['id']}/junit")).json()

    response = await put(lab, file, after)

    changed = response.json()["file"]
    assert response.status_code == 200
    assert (changed["id"], changed["size"]) == (file["id"], len(after))
    assert changed["md5"] == hashlib.md5(after).hexdigest()
    assert changed["etag"] != file["etag"]
    assert changed["updated_at"] > file["updated_at"]
    assert (await lab.get(f"/files/{file['id']}/content")).content == after
    assert (await lab.get(f"/jobs/{job}/results")).json() == results
    assert (await lab.get(f"/files/{file['id']}/junit")).json() == report
    assert app.services is not None
    await world.db.execute("update objects_to_remove set not_before = not_before - interval '1 hour'")
    await remove_due(app.services.db, app.services.store)
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
    back = await put(lab, changed, gzip.compress(before), **{"Content-Encoding": "gzip"})
    assert back.status_code == 200
    assert (await lab.get(f"/files/{file['id']}/content")).content == before


async def test_later_runs_stay_compared_with_it(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    same = {"name": "nightly", "configuration": "", "url": ""}
    file = await upload(lab, await world.job(created_at=datetime(2026, 1, 1), **same), REPORT)
    later = await upload(lab, await world.job(created_at=datetime(2026, 1, 2), **same), OTHERS["one case less"])
    compared = (await lab.get(f"/files/{later['id']}/junit")).json()
    assert [case["state"] for case in compared["testsuites"][0]["testcases"]] == ["UNCHANGED", "REMOVED"]

    response = await put(lab, file, WITH_PROPERTIES)

    assert response.status_code == 200
    assert (await lab.get(f"/files/{later['id']}/junit")).json() == compared


async def test_it_becomes_no_later_report_than_it_was(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    same = {"name": "nightly", "configuration": "", "url": ""}
    job = await world.job(created_at=datetime(2026, 1, 1), **same)
    file = await upload(lab, job, REPORT)
    await upload(lab, job, OTHERS["passed"])
    await put(lab, file, WITH_PROPERTIES)

    later = await upload(lab, await world.job(created_at=datetime(2026, 1, 2), **same), REPORT)

    report = (await lab.get(f"/files/{later['id']}/junit")).json()
    assert [case["state"] for case in report["testsuites"][0]["testcases"]] == ["REGRESSED", "UNCHANGED"]


async def test_its_texts_are_told_from_one_unpacking(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is in its row: unpacked for each of its texts, a report of some MiB took a quarter of a minute."""
    lab = client_of("blue_lab")
    cases = b"".join(
        b'<testcase name="%d"><failure>%d</failure></testcase>' % (n, n) + b" " * 9_000 for n in range(100)
    )
    report = b'<testsuite name="s">' + cases + b"</testsuite>"
    file = await upload(lab, await world.job(), report)
    changed = report.replace(b"<failure>", b"<properties/><failure>", 1)
    assert (await put(lab, file, changed)).status_code == 200
    unpacked: list[int] = []
    decompress = zlib.decompress

    def noted(data: bytes) -> bytes:
        content = decompress(data)
        unpacked.append(len(content))
        return content

    monkeypatch.setattr(zlib, "decompress", noted)

    told = (await lab.get(f"/files/{file['id']}/junit")).json()["testsuites"][0]["testcases"]

    assert [case["value"] for case in told] == [case["name"] for case in told]
    assert unpacked.count(len(changed)) == 1


async def test_it_stays_where_it_was_in_the_history_of_its_cases(client_of: ClientOf, world: World) -> None:
    lab, older, newer = client_of("blue_lab"), await world.job(), await world.job()
    file = await upload(lab, older, REPORT)
    await upload(lab, newer, REPORT)
    test_id = (await lab.get(f"/jobs/{older}/cases")).json()["cases"][0]["test_id"]

    await put(lab, file, WITH_PROPERTIES)

    runs = (await lab.get(f"/cases/{test_id}/runs")).json()["runs"]
    assert [run["job"]["id"] for run in runs] == [newer, older]
    assert runs[1]["created_at"] == file["created_at"]


async def test_anything_else_stays_as_it_is(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    file = await upload(lab, await world.job(), REPORT)
    for name, content in OTHERS.items():
        response = await put(lab, file, content)

        assert response.status_code == 400, name
        assert "only the properties of test cases" in response.json()["message"]
    assert (await put(lab, file, REPORT[:-5])).json()["message"].startswith("Invalid XML: ")
    assert (await lab.get(f"/files/{file['id']}")).json()["file"] == file
    assert (await lab.get(f"/files/{file['id']}/content")).content == REPORT
    assert await world.count("tests_results") == 1


async def test_content_that_was_damaged_on_its_way_is_refused(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    file = await upload(lab, await world.job(), REPORT)
    md5 = hashlib.md5(WITH_PROPERTIES).hexdigest()

    refused = await put(lab, file, WITH_PROPERTIES, **{"DCI-MD5": "0" * 32})

    assert (refused.status_code, "DCI-MD5 says" in refused.text, md5 in refused.text) == (400, True, True)
    assert (await lab.get(f"/files/{file['id']}/content")).content == REPORT
    assert (await put(lab, file, WITH_PROPERTIES, **{"DCI-MD5": md5})).json()["file"]["md5"] == md5


async def test_who_was_slower_is_told(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    file = await upload(lab, job, REPORT)
    await put(lab, file, WITH_PROPERTIES)

    stale = await put(lab, file, REPORT)
    without = await lab.put(
        f"/files/{file['id']}/content", content=REPORT, headers={"Content-Type": "application/junit"}
    )

    assert (stale.status_code, stale.json()["message"]) == (404, "file not found")
    assert without.status_code == 412
    assert (await lab.get(f"/files/{file['id']}/content")).content == WITH_PROPERTIES


async def test_only_reports_take_new_content(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    log, report = await upload(lab, job, REPORT, "text/plain"), await upload(lab, job, REPORT)

    statuses = [
        (await put(lab, log, WITH_PROPERTIES)).status_code,
        (await put(lab, report, WITH_PROPERTIES, **{"Content-Type": "text/xml"})).status_code,
        (await put(lab, report, b" " * (8 * 1024 * 1024 + 1))).status_code,
    ]

    assert statuses == [400, 400, 413]


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("epm", 200), ("reader", 401), ("bob", 401)])
async def test_who_replaces_a_blue_report(client_of: ClientOf, world: World, who: str, status: int) -> None:
    file = await upload(client_of("blue_lab"), await world.job(), REPORT)

    assert (await put(client_of(who), file, WITH_PROPERTIES)).status_code == status
