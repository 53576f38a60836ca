# SPDX-License-Identifier: Apache-2.0
"""Hands mail to the mail server: some at a time, over one connection, one after the other."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec

from dci_server.features.notifications import letters
from dci_server.features.notifications.outbox import Table, Waiting
from dci_server.foundation.metrics import DeliveredBy
from dci_server.foundation.outgoing.carriers import MessageRefused
from dci_server.foundation.outgoing.mail import MailConnection, MailServer, is_address


@dataclass(frozen=True, slots=True)
class DueMail(Waiting):
    """`facts` is JSON, of the shape that its kind has."""

    email: str
    kind: str
    facts: str


MAILS = Table("mails", DueMail, "email, kind, facts::text as facts")


class Mailer:
    name = "the mail server"
    by: DeliveredBy = "mail"
    in_parallel = 1
    keeps_open = False
    seconds = 100.0

    def __init__(self, server: MailServer, *, links: str) -> None:
        self._server = server
        self._links = links

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[DueMail], Awaitable[None]]]:
        async with self._server.connection() as connection:
            yield partial(self._send, connection)

    async def _send(self, connection: MailConnection, due: DueMail) -> None:
        if not is_address(due.email):
            raise MessageRefused("this is no address", is_final=True)
        message = letters.write(
            _letter(due, self._links),
            mail_id=due.id,
            sender=self._server.sender,
            recipient=due.email,
            at=datetime.now(UTC),
        )
        await connection.send(message, due.email)


def _letter(due: DueMail, links: str) -> letters.Letter:
    match due.kind:
        case "job":
            return letters.of_job(msgspec.json.decode(due.facts, type=letters.JobFacts), links)
        case "component":
            return letters.of_component(msgspec.json.decode(due.facts, type=letters.ComponentFacts), links)
        case _:
            return letters.of_disabled_webhook(msgspec.json.decode(due.facts, type=letters.DisabledFacts))
