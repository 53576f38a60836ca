# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


@pytest.mark.parametrize(("revision", "status"), [("0001", 503), ("9999", 200), (None, 503)])
async def test_a_server_is_ready_on_its_schema_or_a_newer_one(
    client_of: ClientOf, world: World, revision: str | None, status: int
) -> None:
    as_it_is = await client_of("stranger").get("http://dci.test/readyz")
    await world.db.execute("delete from alembic_version")
    if revision is not None:
        await world.db.execute("insert into alembic_version values ($1)", revision)

    changed = await client_of("stranger").get("http://dci.test/readyz")

    assert (as_it_is.status_code, changed.status_code) == (200, status)
