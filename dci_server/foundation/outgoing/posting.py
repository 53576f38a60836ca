# SPDX-License-Identifier: Apache-2.0
"""One POST to an address that a user named: signed, without redirects, with little patience and a short memory."""

import asyncio
import hmac
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore
import httpx

from dci_server.foundation.errors import ApiError
from dci_server.foundation.outgoing.targets import CheckedNetwork, TargetRefused, Targets, read_url

MOST_READ = 64 * 1024
MOST_KEPT = 1000
_KEPT_OPEN_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was answered, or why nothing was. `answer` is its first bytes, as text."""

    duration_ms: int
    status: int | None = None
    answer: str | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """Keeps connections open for a moment: many deliveries go to the same few addresses."""

    def __init__(self, targets: Targets, *, timeout: float) -> None:
        self._timeout = timeout
        self._pool = httpcore.AsyncConnectionPool(
            # The certificates that SSL_CERT_FILE names, else those that come with the client.
            ssl_context=_trust(),
            max_connections=None,
            max_keepalive_connections=50,
            keepalive_expiry=_KEPT_OPEN_SECONDS,
            network_backend=CheckedNetwork(targets),
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Never raises for what the other side does, or is."""
        started = time.perf_counter()
        status, answer, error = None, None, None
        try:
            async with asyncio.timeout(self._timeout):
                status, answer = await self._send(url, body, headers)
        except (TargetRefused, ApiError) as refusal:
            error = str(refusal)
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as failure:
            error = _reason(failure)
        return Outcome(int((time.perf_counter() - started) * 1000), status, answer, error)

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        to = read_url(url)
        head = {"Host": to.authority, "Content-Length": str(len(body)), **headers}
        async with self._pool.stream(
            "POST",
            httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target),
            headers=[(name.encode(), value.encode()) for name, value in head.items()],
            content=body,
        ) as response:
            read = bytearray()
            async for chunk in response.aiter_stream():
                read += chunk[: MOST_READ - len(read)]
                if len(read) >= MOST_READ:
                    break
            return response.status, bytes(read[:MOST_KEPT]).decode(errors="replace").replace("\0", "\ufffd")


def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _reason(failure: Exception) -> str:
    """In few words: what a library or the system says may hold addresses of ours."""
    cause = failure.__cause__ or failure.__context__
    if isinstance(failure, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return "the TLS connection failed: is the certificate valid, and for this name?"
    if isinstance(failure, httpcore.ConnectError):
        return "nobody accepts connections there"
    if isinstance(failure, httpcore.ProtocolError):
        return "what answered does not speak HTTP, or broke off"
    return "the connection broke off"


def signature(secret: str, body: bytes, at: int) -> str:
    """`t=<seconds since 1970>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>` with the webhook's secret."""
    return f"t={at},v1={hmac.digest(secret.encode(), f'{at}.'.encode() + body, 'sha256').hex()}"
