# SPDX-License-Identifier: Apache-2.0
"""Addresses in buckets of Google, which are signed here, without a word to the service."""

import hashlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from dci_server.foundation.storage import open_store

KEY = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_address_is_signed_for_ten_minutes_and_one_object(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "client_email": "dci@example.org", "private_key": pem, "private_key_id": "1"}
    (tmp_path / "account.json").write_bytes(msgspec.json.encode(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))

    led = await open_store("gs://bucket/prefix").presign(method, "files/a/b c", 600)

    address, _, signature = (led or "").rpartition("&X-Goog-Signature=")
    parts = urlsplit(address)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc) == ("https", "storage.googleapis.com")
    assert said["X-Goog-Expires"] == "600"
    request = f"{method}\n{parts.path}\n{parts.query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = said["X-Goog-Credential"].partition("/")[2]
    signed = f"GOOG4-RSA-SHA256\n{said['X-Goog-Date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    KEY.public_key().verify(bytes.fromhex(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert parts.path == "/bucket/prefix/files/a/b%20c"
