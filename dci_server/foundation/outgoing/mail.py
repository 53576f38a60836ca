# SPDX-License-Identifier: Apache-2.0
"""The mail server that mail is handed to."""

import socket
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Literal, TypeAlias

import aiosmtplib

from dci_server.foundation.outgoing.carriers import CarrierUnavailable, MessageRefused

Tls: TypeAlias = Literal["none", "starttls", "tls"]

_TIMEOUT = 20
_PERMANENT = 500


@dataclass(frozen=True, slots=True)
class MailServer:
    """`sender` is the address in `From`; one logs in when there is a password."""

    host: str
    port: int
    tls: Tls
    account: str
    password: str | None
    sender: str

    def connection(self) -> "MailConnection":
        return MailConnection(self)


class MailConnection:
    """Open within `async with`; raises CarrierUnavailable when it can't be, or breaks."""

    def __init__(self, server: MailServer) -> None:
        has_login = server.password is not None
        self._sender = server.sender
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.account if has_login else None,
            password=server.password,
            local_hostname=socket.gethostname(),
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "none" else ssl.create_default_context(),
            timeout=_TIMEOUT,
        )

    async def __aenter__(self) -> "MailConnection":
        try:
            await self._client.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            self._client.close()
            raise CarrierUnavailable(_reason(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._client.is_connected:
                await self._client.quit()
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self._client.close()

    async def send(self, message: EmailMessage, recipient: str) -> None:
        """To exactly that recipient, whatever the headers say. Raises MessageRefused for this message alone."""
        try:
            await self._client.send_message(message, sender=self._sender, recipients=[recipient])
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code if error.recipients else 0
            raise MessageRefused(f"the recipient was refused: {code}", is_final=code >= _PERMANENT) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected) as error:
            raise CarrierUnavailable(_reason(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise MessageRefused(f"the message was refused: {error.code}", is_final=error.code >= _PERMANENT) from error
        except aiosmtplib.SMTPNotSupported as error:
            raise MessageRefused("the mail server knows no such address", is_final=True) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise CarrierUnavailable(_reason(error)) from error


def is_address(text: str) -> bool:
    """Whether this is one address and nothing else."""
    try:
        return Address(addr_spec=text).addr_spec == text and text.isprintable() and " " not in text
    except (ValueError, IndexError):
        return False


def _reason(error: Exception) -> str:
    """What servers say may quote a login; what failed is enough."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "it refuses the login"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"it answers {error.code}"
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "the TLS connection fails: is the certificate valid, and for this name?"
    if isinstance(error, aiosmtplib.SMTPTimeoutError | TimeoutError):
        return "it does not answer in time"
    if isinstance(error, aiosmtplib.SMTPException) and "STARTTLS" in str(error).upper():
        return "it does not offer STARTTLS; see DCI_EMAIL_TLS"
    return "it can't be reached"
