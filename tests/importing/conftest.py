# SPDX-License-Identifier: Apache-2.0
"""An old hub, an empty new one, and the command between them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import asyncpg
import httpx
import msgspec
import pytest
import structlog
from rich.console import Console

from dci_server import app as server
from dci_server.cli import main
from dci_server.foundation.auth.secret_box import SecretBox, read_keys
from dci_server.foundation.database.embedded import EmbeddedPostgres
from dci_server.foundation.database.migrate import migrate
from dci_server.importing.progress import Progress
from dci_server.importing.report import as_json
from dci_server.importing.run import BATCH_BYTES, Wanted, import_hub
from tests.conftest import World
from tests.databases import ReusedDatabases, run, url_of
from tests.importing.old_hub import PASSWORD, SCHEMA, SECRET, OldHub, fill, fill_oddly
from tests.signing import SignedBy

_READER = "reader_of_old_hubs"


async def make_database(postgres: EmbeddedPostgres, name: str) -> str:
    """An empty one; its address."""
    await run(postgres.url, f"create database {name}")
    return url_of(postgres.url, name)


@pytest.fixture(scope="session")
async def old_databases(postgres: EmbeddedPostgres, template: World) -> AsyncIterator[ReusedDatabases]:
    url = await make_database(postgres, "template_old")
    await run(
        url,
        SCHEMA,
        f"create role {_READER} login password 'hidden-word'; grant select on all tables in schema public to {_READER}",
    )
    reused = ReusedDatabases(postgres.url, "template_old")
    yield reused
    await reused.close()


@pytest.fixture
async def bare_hub(old_databases: ReusedDatabases, tmp_path: Path) -> AsyncIterator[OldHub]:
    """The tables without a row. Its address is that of a role that may read and nothing else."""
    async with old_databases.lent() as url:
        db: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
        parts = httpx.URL(url)
        reader = url.replace(f"{parts.userinfo.decode()}@", f"{_READER}:hidden-word@")
        yield OldHub(db, reader, tmp_path / "old" / "dci-files", tmp_path / "old" / "dci-components")
        await db.close()


@pytest.fixture
async def old_hub(bare_hub: OldHub) -> OldHub:
    await fill(bare_hub)
    return bare_hub


@pytest.fixture
async def odd_hub(old_hub: OldHub) -> OldHub:
    await fill_oddly(old_hub)
    return old_hub


def import_words(old: OldHub, *words: str, files: bool = True) -> tuple[str, ...]:
    containers = ("--files", str(old.files), "--components", str(old.components)) if files else ()
    return ("import", "--from", old.url, *containers, *words)


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    err: str


@dataclass
class NewHub:
    url: str
    directory: Path
    key: str
    store_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DCI_")}
        ours = {"DATABASE_URL": self.url, "DCI_DATA_DIR": str(self.directory), "DCI_SECRETS_KEY": self.key}
        return clean | ours | ({"DCI_STORE_URL": self.store_url} if self.store_url else {})

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dci_server", *words, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *words: str) -> Told:
        """What the command says and answers, without a process of its own."""
        return await asyncio.to_thread(self._run_here, *words)

    def _run_here(self, *words: str) -> Told:
        out, err, code = StringIO(), StringIO(), 0
        surroundings = (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", ["dci-server", *words]),
            redirect_stdout(out),
            redirect_stderr(err),
        )
        with ExitStack() as stack:
            for one in surroundings:
                stack.enter_context(one)
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        structlog.reset_defaults()
        return Told(code, out.getvalue(), err.getvalue())

    async def run_as_process(self, *words: str) -> Told:
        process = await self.start(*words)
        out, err = await process.communicate()
        assert process.returncode is not None
        return Told(process.returncode, out.decode(), err.decode())

    async def import_from(self, old: OldHub, *words: str, files: bool = True) -> Told:
        return await self.run(*import_words(old, *words, files=files))

    async def report(self, old: OldHub, *, files: bool = True, batch_bytes: int = BATCH_BYTES) -> "Report":
        """What the command does, without the process."""
        wanted = Wanted(old.url, *((str(old.files), str(old.components)) if files else ()))
        box = SecretBox(read_keys(self.key))
        with Progress(Console(quiet=True)) as progress:
            brought = await import_hub(
                wanted, self.url, str(self.directory / "files"), box, progress, batch_bytes=batch_bytes
            )
        return Report(msgspec.json.decode(as_json(brought)))

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.url)

    async def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        db = await self.connect()
        try:
            return [tuple(row) for row in await db.fetch(sql, *values)]
        finally:
            await db.close()


@dataclass(frozen=True)
class Report:
    document: dict[str, Any]

    def change(self, step: str, part_of_reason: str) -> tuple[int, list[str]]:
        """How many rows, and which; (0, []) when it is not told."""
        for change in self.document["changes"]:
            if change["step"] == step and part_of_reason in change["reason"]:
                return change["rows"], change["examples"]
        return 0, []

    def files(self, kind: str) -> dict[str, Any]:
        return next(files for files in self.document["files"] if files["kind"] == kind)


@pytest.fixture(scope="session")
async def new_databases(postgres: EmbeddedPostgres, template: World) -> AsyncIterator[ReusedDatabases]:
    """With our tables and nobody in them."""
    await migrate(await make_database(postgres, "template_new"))
    reused = ReusedDatabases(postgres.url, "template_new")
    yield reused
    await reused.close()


@pytest.fixture
async def new_hub(new_databases: ReusedDatabases, key: str, tmp_path: Path) -> AsyncIterator[NewHub]:
    """An empty database and an empty data directory."""
    async with new_databases.lent() as url:
        yield NewHub(url, tmp_path / "data", key)


LogIn = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def log_in(new_hub: NewHub, old_hub: OldHub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LogIn]:
    """A client of the new hub, with the credentials of the old one. The first one starts the server."""
    for name, value in new_hub.environment.items():
        monkeypatch.setenv(name, value)
    application = server.create_app()
    opened: list[httpx.AsyncClient] = []
    running = application.lifespan(application)
    is_running = False

    async def client(who: str) -> httpx.AsyncClient:
        nonlocal is_running
        if not is_running:
            await running.__aenter__()
            is_running = True
        kind = {"blue_lab": "remoteci", "red_lab": "remoteci", "blue_feeder": "feeder"}.get(who)
        secret = SECRET[::-1] if kind == "feeder" else SECRET
        auth = SignedBy(f"{kind}/{old_hub.ids[who]}", secret) if kind else httpx.BasicAuth(who, PASSWORD)
        opened.append(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=application),  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
                base_url="http://dci.test/api/v1",
                auth=auth,
                headers={"Content-Type": "application/json"},
            )
        )
        return opened[-1]

    yield client
    for one in opened:
        await one.aclose()
    if is_running:
        await running.__aexit__(None, None, None)
