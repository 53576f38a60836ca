# SPDX-License-Identifier: Apache-2.0
"""Signs requests by hand, as the contract says (auth §4), for httpx."""

import hashlib
import hmac
from collections.abc import Generator
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

import httpx


class SignedBy(httpx.Auth):
    requires_request_body = True

    def __init__(
        self,
        client: str,
        secret: str,
        *,
        algorithm: str = "DCI2-HMAC-SHA256",
        terminator: str = "dci2_request",
        date_header: str = "X-DCI-Date",
        moment: datetime | None = None,
        signed_body: bytes | None = None,
    ) -> None:
        self.client = client
        self.secret = secret
        self.algorithm = algorithm
        self.terminator = terminator
        self.date_header = date_header
        self.moment = moment
        self.signed_body = signed_body

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        timestamp = (self.moment or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        body = request.content if self.signed_body is None else self.signed_body
        request.headers[self.date_header] = timestamp
        target = request.url.raw_path.decode()
        request.headers["Authorization"] = self.authorization(
            request.method, target, request.headers["host"], timestamp, hashlib.sha256(body).hexdigest()
        )
        yield request

    def authorization(self, method: str, target: str, host: str, timestamp: str, payload_sha256: str) -> str:
        """`target` is the path with the query string, as they are sent."""
        names = f"host;{self.date_header.lower()}"
        path, _, query = target.partition("?")
        canonical = "\n".join(
            [
                method,
                unquote(path),
                _canonical_query(query),
                f"host:{host}\n{self.date_header.lower()}:{timestamp}\n",
                names,
                payload_sha256,
            ]
        )
        scope = [timestamp[:8], "BHS3", "api", self.terminator]
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = (self.algorithm.removesuffix("-HMAC-SHA256") + self.secret).encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"{self.algorithm}\n{timestamp}\n{'/'.join(scope)}\n{digest}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return (
            f"{self.algorithm} Credential={self.client}/{'/'.join(scope)}, SignedHeaders={names}, Signature={signature}"
        )


def _canonical_query(query: str) -> str:
    first: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        first.setdefault(name, value)
    return "&".join(f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in sorted(first.items()))
