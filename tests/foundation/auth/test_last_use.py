# SPDX-License-Identifier: Apache-2.0
"""When somebody was last seen, without a write per request."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from dci_server.foundation.auth.authenticator import Authenticator
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until_heard

TABLES = {"alice": "users", "blue_lab": "remotecis", "blue_feeder": "feeders"}


def authenticator_of(app: Application) -> Authenticator:
    assert app.services is not None
    return app.services.authenticator


async def row_of(world: World, who: str) -> dict[str, Any]:
    identifier = world.ids[f"user {who}" if who == "alice" else who]
    row = await world.db.fetchrow(f"select * from {TABLES[who]} where id = $1", UUID(identifier))
    assert row is not None
    return dict(row)


@pytest.mark.parametrize("who", TABLES)
async def test_a_caller_is_noted_about_once_a_minute(
    app: Application, client_of: ClientOf, world: World, who: str
) -> None:
    client = client_of(who)
    before = await row_of(world, who)
    await client.get("/identity")
    at_once = await row_of(world, who)

    await authenticator_of(app).last_use.write()
    noted = await row_of(world, who)
    await client.get("/identity")
    await authenticator_of(app).last_use.write()

    assert at_once == before
    assert noted["last_auth_at"] is not None
    assert {**noted, "last_auth_at": None} == before
    assert await row_of(world, who) == noted


async def test_the_secret_that_signed_is_noted(app: Application, client_of: ClientOf, world: World) -> None:
    lab = UUID(world.ids["blue_lab"])
    other = await world.add("client_secrets", remoteci_id=lab, sealed_secret=world.secrets.seal("another one", lab))
    await client_of("blue_lab").get("/identity")

    await authenticator_of(app).last_use.write()

    used = await world.db.fetch("select id from client_secrets where last_used_at is not null")
    assert len(used) == 1
    assert str(used[0]["id"]) != other


async def test_who_was_refused_is_not_noted(app: Application, client_of: ClientOf, world: World) -> None:
    await client_of("stranger").get("/identity", auth=httpx.BasicAuth("alice", "x"))
    await client_of("blue_lab").get("/identity", headers={"X-DCI-Date": "20200101T000000Z"})
    await world.db.execute("update teams set state = 'inactive'")
    await client_of("blue_feeder").get("/identity")

    await authenticator_of(app).last_use.write()

    assert [(await row_of(world, who))["last_auth_at"] for who in ("alice", "blue_feeder")] == [None, None]


async def test_being_noted_makes_nobody_forgotten(app: Application, client_of: ClientOf, world: World) -> None:
    await until_heard(app)
    lab, alice = client_of("blue_lab"), client_of("alice")
    await lab.get("/identity")
    await alice.get("/identity")
    heard: list[object] = []
    await world.db.add_listener("identities", lambda *_: heard.append("something"))  # pyright: ignore

    await authenticator_of(app).last_use.write()
    await world.db.execute("select pg_notify('identities', 'the last one')")
    await world.db.execute("select 1")

    assert len(heard) == 1


async def test_a_row_that_is_being_changed_is_noted_the_next_time(
    app: Application, client_of: ClientOf, world: World
) -> None:
    await client_of("blue_lab").get("/identity")
    await client_of("alice").get("/identity")

    async with world.db.transaction():
        await world.db.execute("update remotecis set name = 'renamed' where name = 'blue_lab'")
        await authenticator_of(app).last_use.write()
    skipped = (await row_of(world, "blue_lab"))["last_auth_at"]
    await authenticator_of(app).last_use.write()

    assert skipped is None
    assert (await row_of(world, "alice"))["last_auth_at"] is not None
    assert (await row_of(world, "blue_lab"))["last_auth_at"] is not None


async def test_what_was_noted_is_written_at_the_end(app: Application, client_of: ClientOf, world: World) -> None:
    await client_of("alice").get("/identity")

    await authenticator_of(app).stop()

    assert (await row_of(world, "alice"))["last_auth_at"] is not None


async def test_a_failed_write_loses_nothing(app: Application, client_of: ClientOf, world: World) -> None:
    await client_of("alice").get("/identity")
    await world.db.execute("alter table users rename to elsewhere")

    with pytest.raises(Exception, match="users"):
        await authenticator_of(app).last_use.write()
    await world.db.execute("alter table elsewhere rename to users")
    await authenticator_of(app).last_use.write()

    assert (await row_of(world, "alice"))["last_auth_at"] is not None
