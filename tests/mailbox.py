# SPDX-License-Identifier: Apache-2.0
"""A real mail server on loopback that keeps what it is handed."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Letter:
    """`recipients` are those of the envelope."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    was_encrypted: bool
    login: str | None

    def text(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None
        return cast(str, part.get_content())


@dataclass
class Mailbox:
    """`refuse` says with what a recipient is refused, if at all."""

    port: int = 0
    letters: list[Letter] = field(default_factory=list[Letter])
    refuse: Callable[[str], str | None] = lambda _recipient: None
    asked: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int) -> list[Letter]:
        async with asyncio.timeout(PATIENCE), self.arrived:
            await self.arrived.wait_for(lambda: len(self.letters) >= count)
        return self.letters

    async def handle_RCPT(  # noqa: N802 # the name that the mail server calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.asked += 1
        refusal = self.refuse(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = message_from_bytes(cast(bytes, envelope.content), policy=default)
        self.letters.append(
            Letter(
                envelope.mail_from or "",
                envelope.rcpt_tos,
                message,
                session.ssl is not None,
                cast("str | None", session.auth_data),
            )
        )
        async with self.arrived:
            self.arrived.notify_all()
        return "250 OK"


@asynccontextmanager
async def mailbox(*, tls: ssl.SSLContext | None = None, password: str | None = None) -> AsyncGenerator[Mailbox]:
    """With a certificate it asks for STARTTLS, with a password for a login."""
    box = Mailbox()

    def check(_server: object, _session: object, _envelope: object, _mechanism: str, data: Any) -> AuthResult:
        is_right = isinstance(data, LoginPassword) and data.password == (password or "").encode()
        return AuthResult(success=is_right, auth_data=data.login.decode() if is_right else None)

    def connect() -> SMTP:
        return SMTP(
            box,
            hostname="mail.test",
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=check if password else None,
            auth_required=password is not None,
            auth_require_tls=tls is not None,
        )

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
