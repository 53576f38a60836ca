# SPDX-License-Identifier: Apache-2.0
"""Brings a database to the newest schema: Alembic keeps the order, the files are plain SQL."""

from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from dci_server.foundation.errors import Unavailable

_MIGRATIONS = Path(__file__).parents[2] / "migrations"
_LOCK = 4_025_061_123
"""Any number, always the same: two servers that start together migrate one after the other."""


def _scripts() -> ScriptDirectory:
    configuration = Config()
    configuration.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(configuration)


@cache
def newest_revision() -> str:
    """The revision that this code needs; read once, as an upgrade in place replaces the files under a running server."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


async def migrate(url: str, target: str = "head") -> list[str]:
    """Applies what is missing up to the target, in one transaction; the revisions that were applied, in order.

    Raises Unavailable when a newer version has been here.
    """
    applied: list[str] = []
    scripts = _scripts()
    environment = EnvironmentContext(Config(), scripts)

    def steps(current: Any, _: MigrationContext) -> list[RevisionStep]:
        unknown = set(current) - {script.revision for script in scripts.walk_revisions()}
        if unknown:
            raise Unavailable(
                f"the schema of the database ({', '.join(sorted(unknown))}) is of a newer dci-server than this one, which"
                f" knows up to {newest_revision()}; run the newer version, or restore a backup made before it"
            )
        wanted: list[RevisionStep] = scripts._upgrade_revs(target, current)  # pyright: ignore
        applied.extend(str(step.to_revisions_no_deps[0]) for step in wanted)
        return wanted

    def run(connection: Connection) -> None:
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")
        environment.configure(connection=connection, fn=steps)
        environment.run_migrations()

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(url, server_settings={"timezone": "UTC"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()
    return applied
