# SPDX-License-Identifier: Apache-2.0
"""Who did what, when, from where: noted when the answer is known, written a moment later, many in one statement.

So a call pays a few microseconds and no second commit. A process that is killed loses the audits of its last half second;
what was done is in the events, which are written with it. One that is stopped writes down what it has.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection, execute, fetch_value

_SECONDS_BETWEEN_WRITES = 0.5
_SECONDS_BETWEEN_CLEANINGS = 3600.0
_MOST_WAITING = 20_000
_MOST_STRANGERS = 1_000
"""Refused calls of nobody that are kept until the next write: there may be as many as somebody likes to send."""
_AT_ONCE = 5_000
_LONGEST_PATH = 500

log = structlog.get_logger("dci_server.audits")

# quirk: these are what the actions are called for readers that are there already (resources.md §10).
_OLDER_NAMES = {"create_team": "create_teams", "change_job": "update_job_by_id", "delete_job": "delete_job_by_id"}


class Audited(NamedTuple):
    """One line, as it is stored."""

    created_at: datetime
    user_id: UUID | None
    kind: str | None
    action: str
    method: str
    path: str
    status: int
    address: str


def is_audited(method: str, status: int) -> bool:
    """Whatever changes something or wants to, and whatever is refused for who asks."""
    return method not in ("GET", "HEAD", "OPTIONS") or status in (401, 429)


class AuditLog:
    """Runs beside the requests of a server process, for as long as it lives."""

    def __init__(self, db: Connection, kept: timedelta) -> None:
        self._db = db
        self._kept = kept
        self._waiting: list[Audited] = []
        self._strangers = 0
        self._left_out = 0
        self._writing = Repeating("audits", self._write, idle=_SECONDS_BETWEEN_WRITES)
        self._cleaning = Repeating("old audits", self._remove_old, idle=_SECONDS_BETWEEN_CLEANINGS)

    def start(self) -> None:
        self._writing.start()
        self._cleaning.start()

    async def stop(self) -> None:
        await self._cleaning.stop()
        await self._writing.stop()
        try:
            await self.flush()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.error("audits were lost", number=len(self._waiting), reason=type(error).__name__)

    def note(self, caller: Identity | None, handler: str, method: str, path: bytes, status: int, address: str) -> None:
        if len(self._waiting) >= _MOST_WAITING or (caller is None and self._strangers >= _MOST_STRANGERS):
            self._left_out += 1
            return
        self._strangers += caller is None
        self._waiting.append(
            Audited(
                datetime.now(UTC).replace(tzinfo=None),
                caller and caller.id,
                caller and caller.kind,
                _OLDER_NAMES.get(handler, handler),
                method,
                path[:_LONGEST_PATH].decode("latin-1"),
                status,
                address,
            )
        )

    async def flush(self) -> None:
        """Whoever reads the audits now finds what this process has answered."""
        while self._waiting:
            entries, self._waiting = self._waiting, []
            self._strangers = 0
            try:
                await _insert(self._db, entries)
            except BaseException:
                self._waiting = entries + self._waiting
                raise
        if self._left_out:
            log.warning("audits were left out: too many refused calls at once", number=self._left_out)
            self._left_out = 0

    async def _write(self) -> bool:
        await self.flush()
        return False

    async def _remove_old(self) -> bool:
        removed: int = await fetch_value(
            self._db,
            """with gone as (
                   delete from audits where id in (
                       select id from audits where created_at < utc_now() - %(kept)s::interval
                       order by created_at limit %(most)s::integer)
                   and set_config('dci.retention', 'on', true) is not null returning 1)
               select count(*) from gone""",
            kept=self._kept,
            most=_AT_ONCE,
        )
        return removed == _AT_ONCE


async def _insert(db: Connection, entries: list[Audited]) -> None:
    columns = [list(column) for column in zip(*entries, strict=True)]
    await execute(
        db,
        """insert into audits (created_at, user_id, kind, action, method, path, status, address)
           select * from unnest(%(created_at)s::timestamp[], %(user_id)s::uuid[], %(kind)s::text[], %(action)s::text[],
                                %(method)s::text[], %(path)s::text[], %(status)s::integer[], %(address)s::text[])""",
        **dict(zip(Audited._fields, columns, strict=True)),
    )
