# SPDX-License-Identifier: Apache-2.0
"""One database of a moderate size for all plan tests, filled as the benchmark fills its own; nothing here is set in it."""

import asyncpg
import pytest

from benchmarks.seed import seed
from dci_server.foundation.database.embedded import EmbeddedPostgres
from tests.conftest import World

_NAME = "plans"
_JOBS = 20_000
_COMPONENTS = 40_000
_CASES = 300_000


@pytest.fixture(scope="session")
async def seeded(postgres: EmbeddedPostgres, template: World) -> str:
    """Its URL. A third of the jobs are of `blue_lab`."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(postgres.url)
    await connection.execute(f"create database {_NAME} template template_dci")
    await connection.close()
    url = postgres.url.replace("/dci?", f"/{_NAME}?")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "update remotecis set name = 'demo-remoteci' where id = $1::uuid", template.ids["blue_lab"]
    )
    await seed(url, "RHEL-9.6", _JOBS, _COMPONENTS, _CASES)
    await connection.execute("insert into jobstates (job_id, status) select id, 'running' from jobs")
    await connection.execute("analyze jobstates")
    await connection.close()
    return url


@pytest.fixture
def database_url(seeded: str) -> str:
    """In place of a clone of the small one: what the server of these tests is connected to."""
    return seeded
