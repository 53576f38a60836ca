# SPDX-License-Identifier: Apache-2.0
"""Each test finds its database as if nobody had used it, whatever the one before did to it."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from dci_server.foundation.database.embedded import EmbeddedPostgres
from tests.conftest import TEMPLATE, World
from tests.databases import ReusedDatabases, run, url_of

_TABLES = (
    "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
)
_COLUMNS = """
select attname, format_type(atttypid, atttypmod) as type,
       (select quote_literal(min(enumlabel)) from pg_enum where enumtypid = atttypid) as label
from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''
"""
_CHECKS = "select pg_get_constraintdef(oid) from pg_constraint where contype = 'c' and conrelid = $1::text::regclass"
_BOUND = "select coalesce(pg_get_expr(relpartbound, oid), '') from pg_class where oid = $1::text::regclass"
_LONG_AGO = "'2000-01-01'"
_VALUES = {
    "boolean": "true",
    "json": "'{}'",
    "jsonb": "'{}'",
    "bytea": "'x'",
    "uuid": "gen_random_uuid()",
}


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def contents(url: str) -> dict[str, list[str]]:
    """All rows of all tables, and where the sequences are."""
    async with connected(url) as db:
        found = {
            row["name"]: sorted(line[0] for line in await db.fetch(f"select t::text from {row['name']} as t"))
            for row in await db.fetch(_TABLES)
        }
        sequences = await db.fetch("select sequencename, last_value from pg_sequences order by 1")
        return {**found, "sequences": [str(tuple(row)) for row in sequences]}


async def _insert_a_row(db: "asyncpg.Connection[asyncpg.Record]", table: str) -> None:
    """Of values that mean nothing, but for texts of which only some are allowed. Foreign keys are off."""
    since = re.search(r"FROM \(('[^']*')\)", await db.fetchval(_BOUND, table))
    known = {**_VALUES, "timestamp without time zone": since[1] if since else _LONG_AGO}
    checks = " ".join(row[0] for row in await db.fetch(_CHECKS, table))
    values: dict[str, str] = {}
    for column, kind, label in await db.fetch(_COLUMNS, table):
        empty = "'{}'" if kind.endswith("[]") else None
        allowed = re.search(rf"\({column} = (?:ANY \(ARRAY\[)?('[^']*')", checks)
        values[column] = allowed[1] if allowed else label or empty or known.get(kind, "'1'")
    await db.execute(f"insert into {table} ({', '.join(values)}) values ({', '.join(values.values())})")


async def test_every_table_is_put_back(databases: ReusedDatabases, postgres: EmbeddedPostgres) -> None:
    expected = await contents(url_of(postgres.url, TEMPLATE))

    async with databases.lent() as first, connected(first) as db:
        await db.execute("set session_replication_role = replica")
        for name in expected.keys() - {"sequences"}:
            if expected[name]:
                await db.execute(f"delete from {name}")
            else:
                await _insert_a_row(db, name)
        written = await contents(first)
    async with databases.lent() as second:
        found = await contents(second)

    assert [name for name in expected if name != "sequences" and written[name] == expected[name]] == []
    assert (second, found) == (first, expected)


@pytest.mark.parametrize(
    "written",
    [
        "update teams set name = lower(name)",
        "delete from users where name = 'alice'",
        "truncate login_failures",
        "insert into topics (name, product_id) select 'n' || n, id from products, generate_series(1, 2000) as n",
        "delete from teams",
        "select 1",
    ],
)
async def test_what_was_written_is_gone(databases: ReusedDatabases, postgres: EmbeddedPostgres, written: str) -> None:
    async with databases.lent() as url:
        await run(url, written)

    async with databases.lent() as url:
        assert await contents(url) == await contents(url_of(postgres.url, TEMPLATE))


@pytest.mark.parametrize(
    "altered",
    [
        "alter table teams disable trigger teams_forget",
        "alter table teams disable trigger teams_forget; alter table teams enable trigger teams_forget",
        "alter table users rename to elsewhere",
        "alter table jobs alter name set default 'x'",
        "alter table jobs drop column comment",
        "alter table jobs add column more text",
        "create table left_behind ()",
        "drop table audits",
        "drop index jobs_tags_idx",
        "create function left_behind() returns integer language sql return 1",
        "create or replace function new_etag() returns text language sql volatile return 'x'",
        "create schema left_behind",
        "create sequence left_behind",
        "create type left_behind as enum ('x')",
        "create view left_behind as select 1 as one",
        "grant select on jobs to public",
        "create policy left_behind on jobs",
        "analyze teams",
        "do $$ begin execute format('alter database %I set work_mem = ''5MB''', current_database()); end $$",
        "select lo_create(0)",
    ],
)
async def test_what_was_altered_is_thrown_away(
    databases: ReusedDatabases, postgres: EmbeddedPostgres, altered: str
) -> None:
    async with databases.lent() as first:
        await run(first, altered)

    async with databases.lent() as second:
        assert second != first
        assert await contents(second) == await contents(url_of(postgres.url, TEMPLATE))
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(first)


async def test_a_connection_that_was_left_open_is_ended(databases: ReusedDatabases) -> None:
    async with databases.lent() as url:
        left: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url)
        await left.execute("begin; lock table teams; delete from users; select pg_advisory_lock(1)")

    async with databases.lent() as url, connected(url) as db:
        assert await db.fetchval("select count(*) from users") == 6
        assert await db.fetchval("select pg_try_advisory_lock(1)")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await left.execute("select 1")


async def test_what_is_lent_is_lent_to_one(databases: ReusedDatabases) -> None:
    async with databases.lent() as one, databases.lent() as other:
        assert one != other


async def test_columns_and_names_of_any_kind_are_put_back(postgres: EmbeddedPostgres, template: World) -> None:
    await run(postgres.url, "create database template_peculiar")
    peculiar = url_of(postgres.url, "template_peculiar")
    await run(
        peculiar,
        """create table "Mixed Case" (id bigint generated always as identity, "a.b" text,
                                      twice text generated always as ("a.b" || "a.b") stored, structured json, more bytea);
           create table parts (n integer) partition by list (n);
           create table one partition of parts for values in (1);
           create sequence unused; create sequence used; select nextval('used');
           insert into "Mixed Case" ("a.b", structured, more) values (e'\\t\\n\\\\', '{"b": 1, "a": 2}', e'\\\\x00'), (null, null, null);
           insert into parts values (1)""",
    )
    expected = await contents(peculiar)
    databases = ReusedDatabases(postgres.url, "template_peculiar")

    async with databases.lent() as first:
        await run(
            first,
            """delete from "Mixed Case"; insert into "Mixed Case" ("a.b") values ('x'); insert into parts values (1);
               select nextval('unused'), nextval('used')""",
        )
        assert await contents(first) != expected
    async with databases.lent() as second:
        found = await contents(second)
    await databases.close()

    assert (second, found) == (first, expected)
