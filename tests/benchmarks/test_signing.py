# SPDX-License-Identifier: Apache-2.0
"""What the load generator sends is signed as a laboratory signs."""

from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pytest

from benchmarks.signing import Signer
from dci_server.foundation.auth.signatures import SigningKeys, read_claim, require_in_window, require_signature
from dci_server.foundation.errors import NotAuthenticated

_CLIENT = UUID("6c9f0a1e-55aa-4b57-9d7b-0d5f2f6a3c11")
_MOMENT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def _require_signed(method: str, target: str, body: bytes, secret: str = "s3cret") -> None:
    lines = Signer(str(_CLIENT), "s3cret", "127.0.0.1:5000").headers(method, target, sha256(body).hexdigest(), _MOMENT)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines.split("\r\n"))}
    claim = read_claim(headers["authorization"], headers)
    require_in_window(claim, _MOMENT)
    path, _, query = target.encode().partition(b"?")
    payload_sha256 = sha256(body).hexdigest()
    require_signature(
        claim, SigningKeys(secret), method=method, raw_path=path, raw_query=query, payload_sha256=payload_sha256
    )


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/api/v1/identity", b""),
        ("GET", "/api/v1/topics?where=name%3ARHEL-9.6", b""),
        ("GET", "/api/v1/jobs?offset=0&limit=20", b""),
        ("POST", "/api/v1/files", b"\x00 log"),
    ],
)
def test_a_request_of_the_load_carries_a_valid_signature(method: str, target: str, body: bytes) -> None:
    _require_signed(method, target, body)


def test_another_secret_does_not_verify_it() -> None:
    with pytest.raises(NotAuthenticated):
        _require_signed("GET", "/api/v1/identity", b"", secret="another")
