# SPDX-License-Identifier: Apache-2.0
"""Slows down who guesses passwords, per account and per address, on all servers together (decision page 0018).

A right password is never made to wait: what is slow is the refusal, and there may be few of them at once.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from dci_server.foundation.auth.passwords import PasswordVerdicts, needs_rehash
from dci_server.foundation.database.connection import Connection, execute, fetch_rows
from dci_server.foundation.errors import TooManyAttempts

log = structlog.get_logger("dci_server.auth")

LONGEST_WAIT = 5.0
_FREE_FOR_AN_ACCOUNT = 5
_FREE_FOR_AN_ADDRESS = 20
_FIRST_WAIT = 0.1
# An imported hash takes longer than one of ours; as long as there are any, every refusal takes longer than both.
_WAIT_WHILE_IMPORTED = 2.0
_AT_ONCE_FOR_BOTH = 4
_AT_ONCE_FOR_AN_ADDRESS = 64
_AT_ONCE = 1024

_RECORD = """
    with recorded as (
        insert into login_failures (subject, failures, last_at)
        select subject, 1, utc_now() from unnest(%(subjects)s::text[]) as subject order by subject
        on conflict (subject) do update set
            failures = case when login_failures.last_at < utc_now() - interval '15 minutes' then 1
                            else login_failures.failures + 1 end,
            last_at = utc_now()
        returning subject, failures
    )
    select subject, failures, exists(
        select from users where password_hash like '$5$%' or password_hash like '$6$%') as has_imported
    from recorded
"""
# The etag stays: the owner has changed nothing. A password that was changed meanwhile stays, too.
_RENEW = """
    update users set password_hash = %(renewed)s::text where id = %(id)s::uuid and password_hash = %(stored)s::text
"""
_FORGIVE = "delete from login_failures where subject = %(subject)s::text"
_FORGET_OLD = "delete from login_failures where last_at < utc_now() - interval '15 minutes'"


def seconds_to_wait(failures: int, free: int) -> float:
    """Doubles with every failure beyond the free ones, up to the longest."""
    beyond = failures - free
    return 0.0 if beyond <= 0 else min(_FIRST_WAIT * 2 ** min(beyond, 16), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class StoredPassword:
    user_id: UUID
    hash: str


class Attempts:
    """The password checks under way in this process, and the memory of failed ones that all processes share."""

    def __init__(
        self,
        db: Connection,
        verdicts: PasswordVerdicts,
        fingerprint: Callable[[str], str],
        *,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fingerprint` hides what was sent as a login: people type passwords there."""
        self._db = db
        self._verdicts = verdicts
        self._fingerprint = fingerprint
        self.pause = pause
        self.clock = clock
        self._running: dict[tuple[str, bytes], asyncio.Task[bool]] = {}
        self._under_way: Counter[str] = Counter()

    async def is_right(self, stored: StoredPassword | None, password: str, *, login: str, address: str) -> bool:
        """False after the wait that the failures before it have earned. Raises TooManyAttempts."""
        question = self._verdicts.question(stored and stored.hash, password, subject=login)
        if question is None:
            return False
        if self._verdicts.remembers(question):
            return True
        running = self._running.get((address, question))
        if running is None:
            running = self._start((address, question), stored, password, login, address)
        # Shielded: who hangs up neither shortens the wait nor takes along others who sent the same.
        return await asyncio.shield(running)

    async def forget_old(self) -> None:
        await execute(self._db, _FORGET_OLD)

    async def close(self) -> None:
        for running in list(self._running.values()):
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start(
        self, question: tuple[str, bytes], stored: StoredPassword | None, password: str, login: str, address: str
    ) -> asyncio.Task[bool]:
        account = f"account:{self._fingerprint(login)}"
        place = f"address:{address}"
        slots = {account + place: _AT_ONCE_FOR_BOTH, place: _AT_ONCE_FOR_AN_ADDRESS, "": _AT_ONCE}
        if any(self._under_way[slot] >= most for slot, most in slots.items()):
            raise TooManyAttempts("too many attempts to log in at once; try again later", retry_after=LONGEST_WAIT)
        self._under_way.update(slots.keys())
        task = asyncio.create_task(self._attempt(stored, password, login, account, place))

        def finish(finished: asyncio.Task[bool]) -> None:
            del self._running[question]
            self._under_way.subtract(slots.keys())
            for slot in slots:
                if not self._under_way[slot]:
                    del self._under_way[slot]
            if not finished.cancelled() and (error := finished.exception()) is not None:
                # Raised where it is awaited; said here for when nobody waits any more.
                log.debug("an attempt to log in broke off", kind=type(error).__name__)

        self._running[question] = task
        task.add_done_callback(finish)
        return task

    async def _attempt(
        self, stored: StoredPassword | None, password: str, login: str, account: str, place: str
    ) -> bool:
        started = self.clock()
        if await self._verdicts.verify(stored and stored.hash, password, subject=login) and stored is not None:
            await execute(self._db, _FORGIVE, subject=account)
            if needs_rehash(stored.hash):
                renewed = await self._verdicts.hash(password)
                await execute(self._db, _RENEW, renewed=renewed, id=stored.user_id, stored=stored.hash)
            return True
        wait = await self._record_failure(account, place)
        await self.pause(max(0.0, wait - (self.clock() - started)))
        return False

    async def _record_failure(self, account: str, place: str) -> float:
        rows = await fetch_rows(self._db, _RECORD, subjects=[account, place])
        free = {account: _FREE_FOR_AN_ACCOUNT, place: _FREE_FOR_AN_ADDRESS}
        earned = max(seconds_to_wait(row["failures"], free[row["subject"]]) for row in rows)
        return max(earned, _WAIT_WHILE_IMPORTED) if rows[0]["has_imported"] else earned
