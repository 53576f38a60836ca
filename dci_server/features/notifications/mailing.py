# SPDX-License-Identifier: Apache-2.0
"""Hands mail to the mail server, beside the requests of a server process: some at a time, over one connection."""

import asyncio
import time
from datetime import UTC, datetime

import msgspec
import structlog

from dci_server.features.notifications import letters, mails
from dci_server.features.notifications.mails import DueMail
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.outgoing.mail import (
    MailConnection,
    MailRefused,
    MailServer,
    MailServerUnavailable,
    is_address,
)
from dci_server.foundation.outgoing.patience import seconds_before_attempt

_AT_ONCE = 20
_SECONDS_FOR_A_ROUND = 100.0
_LEASE_SECONDS = 120.0
_IDLE_SECONDS = 5.0
_LONGEST_PAUSE = 600.0

log = structlog.get_logger("dci_server.mail")


class Mailer:
    def __init__(self, db: Connection, server: MailServer, metrics: Metrics, *, links: str) -> None:
        self._db = db
        self._server = server
        self._metrics = metrics
        self._links = links
        self._failures = 0
        self._paused_until = 0.0
        self._repeating = Repeating("mail", self._send_due, idle=_IDLE_SECONDS)

    def start(self) -> None:
        self._repeating.start()

    def wake(self) -> None:
        self._repeating.wake()

    async def stop(self) -> None:
        await self._repeating.stop()

    async def _send_due(self) -> bool:
        if time.monotonic() < self._paused_until:
            return False
        waiting = await mails.take_due(self._db, most=_AT_ONCE, lease=_LEASE_SECONDS)
        if not waiting:
            return False
        try:
            async with asyncio.timeout(_SECONDS_FOR_A_ROUND), self._server.connection() as connection:
                while waiting:
                    await self._send(connection, waiting[0])
                    waiting.pop(0)
        except (MailServerUnavailable, TimeoutError) as error:
            await self._pause(str(error) or "it takes too long", waiting)
            return False
        self._failures = 0
        return True

    async def _pause(self, reason: str, waiting: list[DueMail]) -> None:
        """A server that can't be used is not asked anew for each message."""
        self._failures += 1
        pause = min(seconds_before_attempt(self._failures + 1), _LONGEST_PAUSE)
        self._paused_until = time.monotonic() + pause
        log.warning("mail waits for its server", reason=reason, seconds=round(pause))
        self._metrics.count_delivery("mail", received=False)
        for due in waiting:
            await mails.note_failure(self._db, due, f"the mail server: {reason}", delay=pause)

    async def _send(self, connection: MailConnection, due: DueMail) -> None:
        delay = seconds_before_attempt(due.attempts + 1)
        if not is_address(due.email):
            await mails.note_failure(self._db, due, "this is no address", delay=delay, is_final=True)
            return
        message = letters.write(
            _letter(due, self._links),
            mail_id=due.id,
            sender=self._server.sender,
            recipient=due.email,
            at=datetime.now(UTC),
        )
        try:
            await connection.send(message, due.email)
        except MailRefused as refusal:
            self._metrics.count_delivery("mail", received=False)
            await mails.note_failure(self._db, due, str(refusal), delay=delay, is_final=refusal.is_final)
        else:
            self._metrics.count_delivery("mail", received=True)
            await mails.note_sent(self._db, due.id)


def _letter(due: DueMail, links: str) -> letters.Letter:
    match due.kind:
        case "job":
            return letters.of_job(msgspec.json.decode(due.facts, type=letters.JobFacts), links)
        case "component":
            return letters.of_component(msgspec.json.decode(due.facts, type=letters.ComponentFacts), links)
        case _:
            return letters.of_disabled_webhook(msgspec.json.decode(due.facts, type=letters.DisabledFacts))
