# SPDX-License-Identifier: Apache-2.0
"""Who asks: a laboratory that signs, or somebody with a password. Signs requests for as little CPU as possible, so that the load weighs less than what it is put on (auth §4)."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

_ALGORITHM = "DCI2-HMAC-SHA256"
_SIGNED_HEADERS = "host;x-dci-date"


class Login:
    """Somebody with a name and a password."""

    def __init__(self, name: str, password: str, host: str) -> None:
        word = base64.b64encode(f"{name}:{password}".encode()).decode()
        self._headers = f"Host: {host}\r\nAuthorization: Basic {word}\r\n"

    def headers(self, method: str, target: str, payload_sha256: str) -> str:  # noqa: ARG002
        return self._headers


class Stranger:
    """Nobody: an address may be permission enough."""

    def __init__(self, host: str) -> None:
        self._headers = f"Host: {host}\r\n"

    def headers(self, method: str, target: str, payload_sha256: str) -> str:  # noqa: ARG002
        return self._headers


class Signer:
    """One laboratory. Its key is derived once a day, not once a request."""

    def __init__(self, client_id: str, api_secret: str, host: str) -> None:
        self._client = client_id if "/" in client_id else f"remoteci/{client_id}"
        self._secret = api_secret
        self._host = host
        self._day = ""
        self._scope = ""
        self._key = b""

    def headers(self, method: str, target: str, payload_sha256: str, moment: datetime | None = None) -> str:
        """The header lines that sign. `target` has a plain path, and a query whose values are percent-encoded."""
        timestamp = (moment or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        if timestamp[:8] != self._day:
            self._derive(timestamp[:8])
        path, _, query = target.partition("?")
        canonical_query = "&".join(sorted(query.split("&"))) if query else ""
        request = (
            f"{method}\n{path}\n{canonical_query}\nhost:{self._host}\nx-dci-date:{timestamp}\n\n"
            f"{_SIGNED_HEADERS}\n{payload_sha256}"
        )
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{timestamp}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        return (
            f"Host: {self._host}\r\nX-DCI-Date: {timestamp}\r\n"
            f"Authorization: {_ALGORITHM} Credential={self._client}/{self._scope}, "
            f"SignedHeaders={_SIGNED_HEADERS}, Signature={signature}\r\n"
        )

    def _derive(self, day: str) -> None:
        key = f"DCI2{self._secret}".encode()
        for step in (day, "BHS3", "api", "dci2_request"):
            key = hmac.digest(key, step.encode(), "sha256")
        self._day, self._scope, self._key = day, f"{day}/BHS3/api/dci2_request", key
