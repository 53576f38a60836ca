# SPDX-License-Identifier: Apache-2.0
"""Who did what, when, from where: noted in a journal before the answer is sent, written to the database a moment later.

So a call pays a few microseconds and no second commit, and what was answered is found even when its process is killed: the
kernel keeps the journal, and another process brings it over. Each line has its id beforehand, so that none is there twice.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

import structlog
from msgspec.structs import astuple

from dci_server.foundation.audit_journal import Audited, Journal, journals_in, line_of, pieces_of
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import DATABASE_ERRORS, Connection, execute, fetch_value
from dci_server.foundation.identifiers import new_id
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.storage.store import MIB

_SECONDS_BETWEEN_WRITES = 0.5
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_BETWEEN_CLEANINGS = 3600.0
_LARGEST_JOURNAL = 32 * MIB
"""There are two of a process: so much waits, on the disk, while the database is away."""
_LARGEST_OF_STRANGERS = 8 * MIB
"""Of it, refused calls of nobody: there may be as many as somebody likes to send."""
_MOST_REMEMBERED = 20_000
_MOST_REMEMBERED_OF_STRANGERS = 1_000
_AT_ONCE = 5_000
_LONGEST_PATH = 500

log = structlog.get_logger("dci_server.audits")

_REFUSED_FOR_WHO_ASKS = (401, 403, 412, 429)
"""412 is a team that is not active, where there is no etag."""

# quirk: these are what the actions are called for readers that are there already (resources.md §10).
_OLDER_NAMES = {"create_team": "create_teams", "change_job": "update_job_by_id", "delete_job": "delete_job_by_id"}


def is_audited(method: str, status: int, subject_id: UUID | None = None) -> bool:
    """Whatever changes something or wants to, and whatever is refused for who asks: of things that are not shown too."""
    if method not in ("GET", "HEAD", "OPTIONS"):
        return True
    return status in _REFUSED_FOR_WHO_ASKS or (status == HTTPStatus.NOT_FOUND and subject_id is not None)


class AuditLog:
    """Runs beside the requests of a server process, for as long as it lives.

    Two journals take turns: one is appended to while what is in the other goes to the database. Without any, as on a disk
    that is full, lines are kept in memory.
    """

    def __init__(self, db: Connection, kept: timedelta, directory: Path, metrics: Metrics) -> None:
        self._db = db
        self._kept = kept
        self._directory = directory
        self._metrics = metrics
        self._filling: Journal | None = None
        self._emptying: Journal | None = None
        self._remembered: list[Audited] = []
        self._strangers = 0
        self._left_out = 0
        self._has_warned = self._has_failed_lately = False
        self._flushing = asyncio.Lock()
        self._writing = Repeating("audits", self._write, idle=_SECONDS_BETWEEN_WRITES)
        self._looking = Repeating("audits of others", self._look, idle=_SECONDS_BETWEEN_LOOKS)
        self._cleaning = Repeating("old audits", self._remove_old, idle=_SECONDS_BETWEEN_CLEANINGS)

    def start(self) -> None:
        self._open_journals()
        self._looking.start()
        self._writing.start()
        self._cleaning.start()

    async def stop(self) -> None:
        await self._cleaning.stop()
        await self._writing.stop()
        await self._looking.stop()
        try:
            await self.flush()
        except DATABASE_ERRORS as error:
            reason = type(error).__name__
            log.error("audits are left to the next start", lost=len(self._remembered), reason=reason)
        self._close_journals()

    def note(
        self,
        caller: Identity | None,
        handler: str,
        method: str,
        path: bytes,
        status: int,
        address: str,
        *,
        subject_id: UUID | None = None,
        claimed_id: UUID | None = None,
    ) -> None:
        """Before the answer is sent."""
        audited = Audited(
            new_id(),
            datetime.now(UTC).replace(tzinfo=None),
            caller and caller.id,
            caller and caller.kind,
            _OLDER_NAMES.get(handler, handler),
            method,
            # PostgreSQL keeps no text with a zero in it.
            path[:_LONGEST_PATH].decode("latin-1").replace("\0", "\N{REPLACEMENT CHARACTER}"),
            status,
            address,
            subject_id,
            claimed_id,
        )
        journal = self._filling
        if journal is None:
            self._remember(audited)
            return
        if journal.size > (_LARGEST_OF_STRANGERS if caller is None else _LARGEST_JOURNAL):
            self._leave_out()
            return
        try:
            journal.append(line_of(audited))
        except OSError as error:
            self._has_failed(error)
            self._remember(audited)

    async def flush(self) -> None:
        """What this process has answered is in the database now."""
        async with self._flushing:
            await self._write_remembered()
            await self._empty()
            self._filling, self._emptying = self._emptying, self._filling
            await self._empty()
        if self._left_out:
            log.warning("audits were left out: too many at once, or the database is away", number=self._left_out)
            self._left_out = 0

    async def flush_all(self) -> None:
        """What all processes with this data directory have answered is in the database now."""
        await self.flush()
        for path in await asyncio.to_thread(journals_in, self._directory):
            if not await self._bring_over(path):
                await self._insert_all(pieces_of(path))

    def _remember(self, audited: Audited) -> None:
        is_stranger = audited.user_id is None
        if len(self._remembered) >= _MOST_REMEMBERED or (
            is_stranger and self._strangers >= _MOST_REMEMBERED_OF_STRANGERS
        ):
            self._leave_out()
            return
        self._metrics.audits_in_memory.inc()
        self._strangers += is_stranger
        self._remembered.append(audited)

    def _leave_out(self) -> None:
        self._left_out += 1
        self._metrics.audits_left_out.inc()

    async def _write_remembered(self) -> None:
        remembered, self._remembered, self._strangers = self._remembered, [], 0
        try:
            await self._insert_all([remembered])
        except BaseException:
            # Those that are in the database already are known there by their ids.
            self._remembered = remembered + self._remembered
            self._strangers = sum(each.user_id is None for each in self._remembered)
            raise

    async def _empty(self) -> None:
        journal = self._emptying
        if journal is not None and journal.size:
            await self._insert_all(journal.pieces())
            journal.clear()

    async def _bring_over(self, path: Path) -> bool:
        """Whether its process is dead; False too when it is one of ours, or gone."""
        journal = Journal.of_the_dead(path)
        if journal is None:
            return False
        try:
            if journal.size:
                await self._insert_all(journal.pieces())
                log.info("audits of a process that was killed were written down")
                journal.clear()
        finally:
            journal.close()
        return True

    async def _insert_all(self, pieces: Iterable[list[Audited]]) -> None:
        for piece in pieces:
            if piece:
                await _insert(self._db, piece)

    async def _write(self) -> bool:
        await self.flush()
        return False

    async def _look(self) -> bool:
        self._has_warned = self._has_failed_lately
        self._has_failed_lately = False
        async with self._flushing:
            self._open_journals()
        for path in await asyncio.to_thread(journals_in, self._directory):
            await self._bring_over(path)
        return False

    def _open_journals(self) -> None:
        """Those that are there already stay."""
        try:
            self._filling = self._usable(self._filling)
            self._emptying = self._usable(self._emptying)
        except OSError as error:
            self._has_failed(error)

    def _usable(self, journal: Journal | None) -> Journal:
        if journal is not None:
            if journal.is_there or journal.size:
                return journal
            journal.close()
        return Journal.create(self._directory)

    def _close_journals(self) -> None:
        for journal in (self._filling, self._emptying):
            if journal is not None:
                journal.close()
        self._filling = self._emptying = None

    def _has_failed(self, error: OSError) -> None:
        """One warning, until a look finds that all went well since the one before."""
        self._has_failed_lately = True
        if not self._has_warned:
            self._has_warned = True
            reason = error.strerror or str(error)
            log.warning(
                "audits can't be noted in DCI_DATA_DIR, so in memory: a kill loses the last ones", reason=reason
            )

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
    columns = [list(column) for column in zip(*map(astuple, entries), strict=True)]
    await execute(
        db,
        """insert into audits (id, created_at, user_id, kind, action, method, path, status, address, subject_id,
                               claimed_id)
           select * from unnest(%(id)s::uuid[], %(created_at)s::timestamp[], %(user_id)s::uuid[], %(kind)s::text[],
                                %(action)s::text[], %(method)s::text[], %(path)s::text[], %(status)s::integer[],
                                %(address)s::text[], %(subject_id)s::uuid[], %(claimed_id)s::uuid[])
           on conflict (id) do nothing""",
        **dict(zip(Audited.__struct_fields__, columns, strict=True)),
    )
