# SPDX-License-Identifier: Apache-2.0
"""What can't be imported is refused in one line, before anything is written, and without a password."""

import asyncpg
import pytest

from dci_server.foundation.auth.passwords import hash_password
from tests.importing.conftest import NewHub, Told
from tests.importing.old_hub import OldHub


def _is_refused(told: Told, because: str) -> None:
    assert told.code == 1, told.out
    assert because in told.err
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("dci-server: ")
    assert "hidden" not in told.err


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("mysql://u:hidden@host/d", "--from can't be read"),
        ("postgresql://u:hidden/word@localhost/d", "--from can't be read"),
        ("postgresql://u:hidden@127.0.0.1:1/d", "the database of --from does not answer"),
    ],
)
async def test_an_address_that_leads_nowhere(new_hub: NewHub, url: str, because: str) -> None:
    _is_refused(await new_hub.run("import", "--from", url), because)
    assert not new_hub.directory.exists()


@pytest.mark.parametrize(
    ("damage", "because"),
    [
        ("drop table jobs cascade", "no table jobs: this is no control server's database"),
        ("alter table remotecis drop api_secret", "remotecis of --from has no column api_secret"),
        ("delete from teams where name = 'admin'", "no team admin"),
    ],
)
async def test_a_database_of_something_else(old_hub: OldHub, new_hub: NewHub, damage: str, because: str) -> None:
    await old_hub.db.execute(damage)

    _is_refused(await new_hub.import_from(old_hub), because)
    assert await new_hub.rows("select count(*) from imports") == [(0,)]
    assert not new_hub.directory.exists()


async def test_a_database_of_ours(old_hub: OldHub, new_hub: NewHub) -> None:
    old_hub.url = new_hub.url

    _is_refused(await new_hub.import_from(old_hub, files=False), "users of --from has no column password")


async def test_a_table_that_may_not_be_read(old_hub: OldHub, new_hub: NewHub) -> None:
    await old_hub.db.execute("revoke select on components from public, reader_of_old_hubs")

    _is_refused(await new_hub.import_from(old_hub), "may not read the table components")


async def test_containers_that_are_not_there(old_hub: OldHub, new_hub: NewHub) -> None:
    old_hub.files = old_hub.files / "nowhere"

    _is_refused(await new_hub.import_from(old_hub), "--files: there is no directory")
    assert not new_hub.directory.exists()


async def test_our_own_store_as_the_old_container(old_hub: OldHub, new_hub: NewHub) -> None:
    old_hub.files = new_hub.directory / "files" / "files"

    _is_refused(await new_hub.import_from(old_hub), "--files is this hub's own store")


async def test_a_hub_that_is_in_use(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.run("provision", "--demo")

    _is_refused(
        await new_hub.import_from(old_hub), "in use (it has products or topics, remotecis or feeders, teams, users)"
    )
    assert await new_hub.rows("select name from users order by name") == [("admin",), ("demo",)]


async def test_another_hub_after_the_first(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.report(old_hub, files=False)
    await old_hub.db.execute("update teams set name = 'before' where name = 'admin'")
    await old_hub.add("teams", name="admin")

    _is_refused(await new_hub.import_from(old_hub, files=False), "another hub was imported into this one")


async def test_two_at_once(old_hub: OldHub, new_hub: NewHub) -> None:
    db: asyncpg.Connection[asyncpg.Record] = await new_hub.connect()
    await db.execute("select pg_advisory_lock(4025061125)")

    _is_refused(await new_hub.import_from(old_hub), "another import into this hub is running")
    await db.close()


async def test_the_provisioned_administrator_stays_when_nobody_has_the_name(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.run("provision")

    told = await new_hub.report(old_hub, files=False)

    assert told.change("teams", "administrator of this hub stays")[0] == 1
    assert await new_hub.rows(
        """select users.name, teams.id from users join users_teams on user_id = users.id join teams on teams.id = team_id
           where role = 'super_admin' order by users.name"""
    ) == [("admin", old_hub.ids["admin"]), ("root", old_hub.ids["admin"])]


async def test_the_provisioned_administrator_gives_way_to_the_imported_one(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.run("provision")
    theirs = await old_hub.add("users", name="admin", fullname="A", timezone="UTC", password=hash_password("x"))

    told = await new_hub.report(old_hub, files=False)

    assert told.change("the beginning", "gave way") == (1, ["admin"])
    assert await new_hub.rows("select id from users where name = 'admin'") == [(theirs,)]
    assert await new_hub.rows("select count(*) from teams where role is not null") == [(3,)]


async def test_a_missing_role_team_is_added(old_hub: OldHub, new_hub: NewHub) -> None:
    await old_hub.db.execute(
        "delete from teams where name = 'EPM'; update teams set state = 'inactive' where name = 'admin'"
    )

    told = await new_hub.report(old_hub, files=False)

    assert told.change("teams", "role was missing") == (1, ["EPM"])
    assert told.change("teams", "was not active") == (1, ["admin"])


async def test_a_later_provision_adds_nothing_but_an_administrator(old_hub: OldHub, new_hub: NewHub) -> None:
    await new_hub.report(old_hub, files=False)

    await new_hub.run("provision")

    assert await new_hub.rows("select count(*) from teams") == [(5,)]
    assert await new_hub.rows(
        "select team_id from users_teams join users on users.id = user_id where name = 'admin'"
    ) == [(old_hub.ids["admin"],)]


async def test_the_source_is_only_read(old_hub: OldHub, new_hub: NewHub) -> None:
    """Its address is that of a role that may do nothing else; and our session could not even if it might."""
    superuser = old_hub.url.replace(
        "reader_of_old_hubs:hidden-word@", new_hub.url.partition("//")[2].partition("@")[0] + "@"
    )
    old_hub.url = superuser
    before = await old_hub.db.fetch("select xmin::text, t::text from users as t order by id")

    assert (await new_hub.import_from(old_hub, files=False)).code == 0

    assert await old_hub.db.fetch("select xmin::text, t::text from users as t order by id") == before
    assert await old_hub.db.fetchval("select count(*) from pg_class where relname ~ 'import|staged'") == 0
