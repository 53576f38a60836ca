# SPDX-License-Identifier: Apache-2.0
"""One database and one application for the whole matrix: each cell's writes are taken back."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import cast

import asyncpg
import httpx
import pytest

from dci_server.foundation.database.connection import open_pool
from dci_server.foundation.database.embedded import EmbeddedPostgres
from dci_server.foundation.database.pool import Pool
from dci_server.foundation.http import Application
from tests.conftest import World, cloned, started
from tests.permissions.leaks import KnownSecrets
from tests.permissions.scene import ABSENT, CALLERS, PASSWORD, Caller, Scene, build_scene
from tests.permissions.undone import UndoneDatabase
from tests.signing import SignedBy


@dataclass(frozen=True)
class Matrix:
    scene: Scene
    app: Application
    db: UndoneDatabase
    clients: Mapping[str, httpx.AsyncClient]
    secrets: KnownSecrets


@pytest.fixture(scope="session")
async def matrix(
    postgres: EmbeddedPostgres, template: World, key: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Matrix]:
    async with cloned(postgres) as url, started(url, key, tmp_path_factory.mktemp("matrix")) as app:
        assert app.services is not None
        pool = await open_pool(url, size=1)
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
        world = World(connection, template.secrets, {**template.ids, "absent": ABSENT}, keys=dict(template.keys))
        scene = await build_scene(world, app.services.store)
        secrets = await KnownSecrets.of(world)
        await connection.close()
        clients = {caller.name: _client(app, scene, caller) for caller in CALLERS}
        async with pool.acquire() as only:
            db = UndoneDatabase(only)
            await db.remember()
            app.services.db = cast(Pool, db)
            yield Matrix(scene, app, db, clients, secrets)
        for client in clients.values():
            await client.aclose()
        await pool.close()


def _client(app: Application, scene: Scene, caller: Caller) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
        base_url="http://dci.test",
        auth=_auth(scene, caller),
        headers={"X-Dci-Team-Id": scene.id(caller.scope)} if caller.scope else {},
    )


def _auth(scene: Scene, caller: Caller) -> httpx.Auth | None:
    if caller.kind == "stranger":
        return None
    if caller.kind == "user":
        return httpx.BasicAuth(caller.login or caller.name, PASSWORD)
    return SignedBy(f"{caller.kind}/{scene.id(caller.name)}", scene.keys[caller.name])
