# SPDX-License-Identifier: Apache-2.0
"""A database for each test, cloned from a migrated one, and the cast: who is who in every test.

Alice and `blue_lab` belong to team Blue, Bob and `red_lab` to Red; `admin`, `epm` and `reader` to the teams that carry
those roles; `nobody` is a user of no team. Blue and Red have the product RHEL.
"""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest

from dci_server import app as server
from dci_server.foundation.auth.passwords import hash_password
from dci_server.foundation.auth.secret_box import SecretBox, new_key, new_secret, read_keys
from dci_server.foundation.database.embedded import EmbeddedPostgres
from dci_server.foundation.database.migrate import migrate
from dci_server.foundation.http import Application
from tests.azure import Azure, running_azure
from tests.databases import ReusedDatabases, run, url_of
from tests.s3 import S3, running_s3
from tests.signing import SignedBy

ClientOf = Callable[[str], httpx.AsyncClient]

if find_spec("sniffio") is None:
    # httpx looks for it at every request to an application; looking through all directories in vain takes longer than that.
    sys.modules["sniffio"] = None  # pyright: ignore[reportArgumentType]

TEMPLATE = "template_dci"
_USERS = {"admin": "admin", "epm": "EPM", "reader": "Red Hat", "alice": "Blue", "bob": "Red", "nobody": None}
_LABS = {"blue_lab": ("remoteci", "Blue"), "red_lab": ("remoteci", "Red"), "blue_feeder": ("feeder", "Blue")}
EVERYBODY = (*_USERS, *_LABS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")
    parser.addoption(
        "--rewrite-matrix", action="store_true", help="write tests/permissions/matrix.txt anew, for review"
    )


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long values name badly, and random ones differently in each of the parallel processes."""
    return argname if isinstance(val, str | bytes) and len(val) > 40 else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@dataclass
class World:
    """What is in the database before the test begins, by name."""

    db: "asyncpg.Connection[asyncpg.Record]"
    secrets: SecretBox
    ids: dict[str, str] = field(default_factory=dict[str, str])
    passwords: dict[str, str] = field(default_factory=dict[str, str])
    keys: dict[str, str] = field(default_factory=dict[str, str])

    async def add(self, table: str, **values: Any) -> str:
        """A row of the table; its id."""
        columns = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        row = await self.db.fetchrow(f"insert into {table} ({columns}) values ({places}) returning *", *values.values())
        assert row is not None
        return str(row["id"]) if "id" in dict(row) else ""

    async def count(self, table: str) -> int:
        return await self.db.fetchval(f"select count(*) from {table}")

    async def job(self, lab: str = "blue_lab", **values: Any) -> str:
        """A job of the lab's remoteci."""
        team = _LABS[lab][1]
        facts = {"topic_id": self.ids["RHEL-9.6"], "product_id": self.ids["RHEL"], **values}
        return await self.add("jobs", remoteci_id=self.ids[lab], team_id=self.ids[team], **facts)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def key() -> str:
    return new_key()


@pytest.fixture(scope="session")
async def template(postgres: EmbeddedPostgres, key: str) -> World:
    """The migrated database with the cast in it."""
    # Connections are many, and a thorough proof of the password is most of what one costs.
    password = unquote(urlsplit(postgres.url).password or "")
    await run(postgres.url, f"set scram_iterations = 1; alter role dci password '{password}'")
    # Nothing changes behind the back of a test: no rows are vacuumed, and no statistics gathered.
    await run(postgres.url, "alter system set autovacuum = off", "select pg_reload_conf()")
    await run(postgres.url, f"create database {TEMPLATE}")
    url = url_of(postgres.url, TEMPLATE)
    await migrate(url)
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
    world = World(connection, SecretBox(read_keys(key)))
    await _add_cast(world)
    await connection.close()
    return world


async def _add_cast(world: World) -> None:
    for name, role in (
        ("admin", "super_admin"),
        ("EPM", "epm"),
        ("Red Hat", "read_only"),
        ("Blue", None),
        ("Red", None),
    ):
        world.ids[name] = await world.add("teams", name=name, role=role)
    password = "correct horse"
    hashed = hash_password(password)
    for user, team in _USERS.items():
        login = f"{user}_user" if user == "admin" else user
        world.ids[f"user {user}"] = await world.add(
            "users", name=login, fullname=login.title(), email=f"{login}@example.org", password_hash=hashed
        )
        world.passwords[user] = password
        if team:
            await world.add("users_teams", user_id=world.ids[f"user {user}"], team_id=world.ids[team])
    for lab, (kind, team) in _LABS.items():
        identifier, secret = uuid4(), new_secret()
        world.keys[lab] = secret
        world.ids[lab] = await world.add(
            f"{kind}s",
            id=identifier,
            name=lab,
            team_id=world.ids[team],
        )
        sealed = world.secrets.seal(secret, identifier)
        await world.add("client_secrets", **{f"{kind}_id": identifier, "sealed_secret": sealed})
    world.ids["RHEL"] = await world.add("products", name="RHEL", label="RHEL")
    for team in ("Blue", "Red"):
        await world.add("products_teams", product_id=world.ids["RHEL"], team_id=world.ids[team])
    world.ids["RHEL-9.6"] = await world.add(
        "topics", name="RHEL-9.6", product_id=world.ids["RHEL"], component_types=["compose"], export_control=True
    )
    world.ids["compose"] = await world.add(
        "components", name="RHEL-9.6.0-1", display_name="RHEL-9.6.0-1", version="9.6.0-1", type="compose",
        topic_id=world.ids["RHEL-9.6"],
    )  # fmt: skip


@asynccontextmanager
async def cloned(postgres: EmbeddedPostgres) -> AsyncGenerator[str]:
    """The address of a database of its own with the cast in it, which is gone afterwards."""
    name = f"test_{uuid4().hex}"
    await run(postgres.url, f"create database {name} template {TEMPLATE} strategy file_copy")
    yield url_of(postgres.url, name)
    await run(postgres.url, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
async def databases(postgres: EmbeddedPostgres, template: World) -> AsyncIterator[ReusedDatabases]:
    reused = ReusedDatabases(postgres.url, TEMPLATE)
    yield reused
    await reused.close()


@pytest.fixture
async def database_url(databases: ReusedDatabases) -> AsyncIterator[str]:
    """The address of a database with the cast in it and nothing else."""
    async with databases.lent() as url:
        yield url


@pytest.fixture
async def world(database_url: str, template: World) -> AsyncIterator[World]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    yield World(connection, template.secrets, dict(template.ids), template.passwords, template.keys)
    await connection.close()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="session")
def azure() -> Iterator[Azure]:
    with running_azure() as running:
        yield running


def assembled(
    database_url: str, key: str, directory: Path, store_url: str | None = None, **settings: str
) -> Application:
    """The application as a worker process runs it, before its lifespan has begun.

    It sends nothing, and listens for no laboratory, unless the settings say so.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", database_url)
        environment.setenv("DCI_STORE_URL", store_url or str(directory / "files"))
        environment.setenv("DCI_DATA_DIR", str(directory))
        environment.setenv("DCI_SECRETS_KEY", key)
        for name, value in {"DCI_DELIVERIES": "off", "DCI_REMOTECI_SILENT_AFTER_HOURS": "0", **settings}.items():
            environment.setenv(name, value)
        return server.create_app()


@asynccontextmanager
async def started(
    database_url: str, key: str, directory: Path, store_url: str | None = None, **settings: str
) -> AsyncGenerator[Application]:
    application = assembled(database_url, key, directory, store_url, **settings)
    async with application.lifespan(application):
        yield application


@pytest.fixture
async def app(database_url: str, key: str, tmp_path: Path) -> AsyncIterator[Application]:
    async with started(database_url, key, tmp_path) as application:
        yield application


@pytest.fixture
async def client_of(app: Application, world: World) -> AsyncIterator[ClientOf]:
    opened: list[httpx.AsyncClient] = []

    def open_client(who: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
            base_url="http://dci.test/api/v1",
            auth=credentials_of(world, who),
            headers={"Content-Type": "application/json"},
        )
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        await client.aclose()


def credentials_of(world: World, who: str) -> httpx.Auth | None:
    proof = proof_of(world, who)
    return httpx.BasicAuth(*proof) if isinstance(proof, tuple) else proof


def proof_of(world: World, who: str) -> SignedBy | tuple[str, str] | None:
    """Name and password of a user, a laboratory's signature, a stranger's nothing."""
    if who == "stranger":
        return None
    if who in _USERS:
        return (f"{who}_user" if who == "admin" else who, world.passwords[who])
    return SignedBy(f"{_LABS[who][0]}/{world.ids[who]}", world.keys[who])
