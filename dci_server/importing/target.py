# SPDX-License-Identifier: Apache-2.0
"""Our database while it takes a hub in: which target is safe, how far an earlier run came."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import LiteralString, TypeAlias

import asyncpg

from dci_server.foundation.database.connection import execute, fetch_row, fetch_rows, fetch_value
from dci_server.foundation.errors import ApiError
from dci_server.importing.source import Source, source_errors
from dci_server.importing.steps import EXAMPLES, Kind
from dci_server.provisioning import ROLES

Target: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_LOCK = 4_025_061_125
_PROVISIONING_LOCK = 4_025_061_124
BEGINNING = "the beginning"


class TargetError(ApiError):
    """This hub can't take another one in; the message says why."""


@dataclass(frozen=True)
class Position:
    """Of a step: the key of the last row that was read, None at the beginning."""

    last: Sequence[str] | None
    is_finished: bool
    read: int
    written: int


@asynccontextmanager
async def open_target(url: str) -> AsyncGenerator[Target]:
    """Raises TargetError while another import runs."""
    db: Target = await asyncpg.connect(
        url,
        statement_cache_size=0,
        server_settings={
            "application_name": "dci-server import",
            "timezone": "UTC",
            "datestyle": "ISO",
            "jit": "off",
            "statement_timeout": "0",
            "random_page_cost": "1.1",
            "temp_buffers": "64MB",
            # What comes over is history: nobody is told of it as of news.
            "dci.events": "off",
            "client_min_messages": "warning",
        },
    )
    try:
        if not await fetch_value(db, "select pg_try_advisory_lock(%(lock)s::bigint)", lock=_LOCK):
            raise TargetError("another import into this hub is running: wait for its end")
        yield db
    finally:
        if not db.is_closed():
            await db.close(timeout=5)


async def begin(target: Target, source: Source) -> bool:
    """Whether all rows were brought by an earlier run. Otherwise an earlier run is continued, or a new one begun."""
    async with target.transaction():
        await execute(target, "select pg_advisory_xact_lock(%(lock)s::bigint)", lock=_PROVISIONING_LOCK)
        begun = await fetch_row(target, "select source_id, rows_finished_at from imports")
        if begun is not None:
            if begun["source_id"] != source.id:
                raise TargetError("another hub was imported into this one; import each into an empty one of its own")
            return begun["rows_finished_at"] is not None
        await _require_unused(target)
        await _replace_provisioned(target, source)
        await execute(target, "insert into imports (source_id) values (%(source)s::uuid)", source=source.id)
    return False


async def _require_unused(target: Target) -> None:
    """Empty, or as `provision` leaves it: whoever uses it would get a mixture of two hubs."""
    found = await fetch_value(
        target,
        """select concat_ws(', ',
               case when exists (select from jobs) then 'jobs' end,
               case when exists (select from products) or exists (select from topics) then 'products or topics' end,
               case when exists (select from remotecis) or exists (select from feeders) then 'remotecis or feeders' end,
               case when exists (select from teams where role is null) then 'teams' end,
               case when exists (select from users where name <> 'admin') then 'users' end)""",
    )
    if found:
        raise TargetError(
            f"this hub is in use (it has {found}): import into an empty one, with another DCI_DATA_DIR or DATABASE_URL"
        )


async def _replace_provisioned(target: Target, source: Source) -> None:
    """The imported ids win: what `provision` made gives way to its namesakes, before anything can refer to it."""
    with source_errors():
        teams = await source.db.fetch(
            "select id, name::text from teams where name::text = any($1::text[])", [name for _, name in ROLES]
        )
    await execute(
        target,
        "delete from teams where name = any(%(names)s::text[]) and id <> all(%(ids)s::uuid[])",
        names=[team["name"] for team in teams],
        ids=[team["id"] for team in teams],
    )
    for user in await fetch_rows(target, "select id, name, email from users"):
        with source_errors():
            namesake = await source.db.fetchval(
                "select exists (select from users where name::text = $1 or email::text = $2)",
                user["name"],
                user["email"],
            )
        if namesake:
            await execute(target, "delete from users where id = %(id)s::uuid", id=user["id"])
            reason = "the administrator of this hub, and admin.rc, gave way to the imported user of that name or e-mail"
            await note(target, BEGINNING, "changed", reason, 1, [user["name"]])


async def position_of(target: Target, step: LiteralString) -> Position:
    row = await fetch_row(
        target,
        """insert into import_steps (name) values (%(step)s::text) on conflict (name) do update set name = excluded.name
           returning position, rows_read, rows_written, finished_at is not null as is_finished""",
        step=step,
    )
    assert row is not None
    return Position(row["position"], row["is_finished"], row["rows_read"], row["rows_written"])


async def advance(target: Target, step: LiteralString, last: Sequence[str], read: int, written: int) -> None:
    """In the transaction that wrote the rows."""
    await execute(
        target,
        """update import_steps set position = %(last)s::text[], rows_read = rows_read + %(read)s::bigint,
               rows_written = rows_written + %(written)s::bigint
           where name = %(step)s::text""",
        step=step,
        last=list(last),
        read=read,
        written=written,
    )


async def finish(target: Target, step: LiteralString) -> None:
    await execute(target, "update import_steps set finished_at = utc_now() where name = %(step)s::text", step=step)


async def finish_rows(target: Target) -> None:
    await execute(target, "update imports set rows_finished_at = utc_now()")


async def note(
    target: Target, step: LiteralString, kind: Kind, reason: LiteralString, total: int, examples: Sequence[str]
) -> None:
    """Adds to the report, in the transaction of what it tells."""
    await execute(
        target,
        """insert into import_changes (step, kind, reason, total, examples)
           values (%(step)s::text, %(kind)s::text, %(reason)s::text, %(total)s::bigint, %(examples)s::text[])
           on conflict (step, kind, reason) do update set total = import_changes.total + excluded.total,
               examples = (import_changes.examples || excluded.examples)[1:%(most)s::integer]""",
        step=step,
        kind=kind,
        reason=reason,
        total=total,
        examples=list(examples),
        most=EXAMPLES,
    )
