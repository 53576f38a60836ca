# SPDX-License-Identifier: Apache-2.0
"""An audit is in a file when the answer is sent, and in the database a moment later."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from dci_server.foundation import auditing
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World, started


@pytest.fixture
async def journals(app: Application, tmp_path: Path) -> Path:
    """Where they are; while the server writes none of them down, unless it is asked for the audits."""
    assert app.services is not None
    await app.services.audits._writing.stop()  # pyright: ignore[reportPrivateUsage] # what it does comes at chance moments
    return tmp_path / "audits"


async def _actions(client_of: ClientOf) -> list[str]:
    response = await client_of("admin").get("/audits?limit=200&offset=0&sort=created_at")
    assert response.status_code == 200, response.text
    return [each["action"] for each in response.json()["audits"]]


def _lines(journals: Path) -> list[bytes]:
    return [line for path in journals.iterdir() for line in path.read_bytes().splitlines()]


async def test_it_is_in_the_file_before_the_answer_and_in_the_database_only(
    client_of: ClientOf, world: World, journals: Path
) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})
    in_file, in_database = len(_lines(journals)), await world.count("audits")
    told = await _actions(client_of)

    assert (in_file, in_database) == (1, 0)
    assert told == ["create_teams"]
    assert _lines(journals) == []


async def test_what_was_written_down_is_not_written_down_again(
    client_of: ClientOf, world: World, journals: Path
) -> None:
    """Whoever was killed between the database's commit and its own next step leaves its file as it was."""
    await client_of("alice").post("/teams", json={"name": "x"})
    (left,) = [path for path in journals.iterdir() if path.stat().st_size]
    shutil.copy(left, journals / f"{uuid4().hex}.audits")

    told = [await _actions(client_of), await _actions(client_of)]

    assert told == [["create_teams"]] * 2
    assert [path.stat().st_size for path in journals.iterdir()] == [0, 0]


async def test_whoever_reads_audits_finds_what_another_process_has_answered(
    client_of: ClientOf, world: World, journals: Path, database_url: str, key: str, tmp_path: Path
) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})

    async with started(database_url, key, tmp_path) as another:
        transport = httpx.ASGITransport(app=another)  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
        async with httpx.AsyncClient(
            transport=transport, base_url="http://dci.test/api/v1", auth=("admin_user", world.passwords["admin"])
        ) as admin:
            before = await world.count("audits")
            told = [(await admin.get("/audits")).json()["audits"] for _ in range(2)]

    assert before == 0
    assert [[each["action"] for each in audits] for audits in told] == [["create_teams"]] * 2
    assert len(_lines(journals)) == 1


async def test_a_line_that_was_cut_off_takes_no_other_with_it(client_of: ClientOf, journals: Path) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})
    (whole,) = _lines(journals)
    (journals / f"{uuid4().hex}.audits").write_bytes(whole[:40] + b"\n" + whole.replace(b"POST", b"PUT") + b"\n[")

    assert await _actions(client_of) == ["create_teams"]


async def test_nobody_else_may_read_the_files(client_of: ClientOf, journals: Path) -> None:
    assert [oct(path.stat().st_mode & 0o777) for path in (journals, *journals.iterdir())] == ["0o700", "0o600", "0o600"]


async def test_what_waits_for_the_database_has_bounds_and_what_is_beyond_is_counted(
    client_of: ClientOf, world: World, journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_LARGEST_OF_STRANGERS", 400)
    monkeypatch.setattr(auditing, "_LARGEST_JOURNAL", 800)

    for _ in range(5):
        await client_of("stranger").get("/jobs")
    strangers = len(_lines(journals))
    for _ in range(5):
        await client_of("alice").post("/teams", json={"name": "x"})
    all_of_them = len(_lines(journals))

    assert 1 <= strangers < 5
    assert strangers < all_of_them < strangers + 5
    left_out = float(10 - all_of_them)
    assert f"dci_audits_left_out_total {left_out}" in (await client_of("alice").get("http://dci.test/metrics")).text
    assert len(await _actions(client_of)) == all_of_them


async def test_a_lost_database_loses_no_audits(client_of: ClientOf, world: World, journals: Path) -> None:
    await client_of("alice").post("/teams", json={"name": "x"})
    await world.db.execute("alter table audits rename to audits_away")
    refused = await client_of("admin").get("/audits")
    await client_of("alice").post("/products", json={"name": "x"})
    waiting = len(_lines(journals))
    await world.db.execute("alter table audits_away rename to audits")

    told = await _actions(client_of)

    assert (refused.status_code, waiting) == (500, 2)
    assert told == ["create_teams", "create_product"]


def _full_disk(directory: Path) -> Callable[[], None]:
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", directory]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    with suppress(OSError), (directory / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))

    def unmount() -> None:
        subprocess.run(["umount", "--lazy", directory], check=True)

    return unmount


def _no_directory(directory: Path) -> Callable[[], None]:
    directory.touch()
    return lambda: None


@pytest.fixture(params=[_full_disk, _no_directory])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A data directory in which no journal can be written."""
    clear_up = request.param(tmp_path / "audits")
    yield tmp_path
    clear_up()


async def test_requests_go_on_when_no_journal_can_be_written(
    unusable: Path, database_url: str, key: str, world: World
) -> None:
    async with started(database_url, key, unusable) as app:
        transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
        async with httpx.AsyncClient(
            transport=transport, base_url="http://dci.test/api/v1", auth=("admin_user", world.passwords["admin"])
        ) as admin:
            made = [await admin.post("/teams", json={"name": f"team {number}"}) for number in range(3)]
            told = (await admin.get("/audits")).json()["audits"]
            metrics = (await admin.get("http://dci.test/metrics")).text

    assert [response.status_code for response in made] == [201] * 3
    assert [audit["action"] for audit in told] == ["create_teams"] * 3
    assert "dci_audits_in_memory_total 3.0" in metrics


async def test_a_journal_that_was_tidied_away_is_replaced(
    client_of: ClientOf, world: World, journals: Path, app: Application
) -> None:
    for path in journals.iterdir():
        path.unlink()
    assert app.services is not None

    await app.services.audits._look()  # pyright: ignore[reportPrivateUsage] # now, not in five seconds
    await client_of("alice").post("/teams", json={"name": "x"})

    assert len(_lines(journals)) == 1
