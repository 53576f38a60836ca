# SPDX-License-Identifier: Apache-2.0
"""The secrets of remotecis and feeders: made here, encrypted at rest, each bound to its owner's row."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
import string
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dci_server.foundation.errors import Unavailable

_ALPHANUMERICS = string.ascii_letters + string.digits
_KEY_LENGTH = 32
_KEY_ID_LENGTH = 8
_NONCE_LENGTH = 12
# A sealed secret: format, key id, nonce, ciphertext with its tag.
_FORMAT = b"\x01"
_HEAD = len(_FORMAT) + _KEY_ID_LENGTH
_MAKE_ONE = "make one with: openssl rand -base64 32"


class UnusableKeysError(Exception):
    """The server cannot start with these keys; the message is for its operator."""


class UnreadableSecret(Unavailable):
    """A stored secret does not open with the keys we have."""


def new_secret() -> str:
    """What a remoteci or a feeder signs with (decision 20)."""
    return "DCI." + "".join(secrets.choice(_ALPHANUMERICS) for _ in range(60))


class SecretBox:
    """Seals with the first key and opens with any, so that keys can be changed one row at a time."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY_LENGTH for key in keys):
            raise UnusableKeysError(f"one or more keys of {_KEY_LENGTH} bytes are needed; {_MAKE_ONE}")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._writing = _key_id(keys[0])
        self._fingerprint_key = hmac.digest(keys[0], b"dci-server fingerprint", "sha256")

    def seal(self, secret: str, owner: UUID) -> bytes:
        head = _FORMAT + self._writing
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        return head + nonce + self._ciphers[self._writing].encrypt(nonce, secret.encode(), head + owner.bytes)

    def open(self, sealed: bytes, owner: UUID) -> str:
        head, nonce, ciphertext = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE_LENGTH], sealed[_HEAD + _NONCE_LENGTH :]
        cipher = self._ciphers.get(head[len(_FORMAT) :]) if head.startswith(_FORMAT) else None
        if cipher is None:
            raise UnreadableSecret(
                "The stored secret of this client was encrypted with a key the server does not have; "
                "its operator must add that key to DCI_SECRETS_KEY"
            )
        try:
            return cipher.decrypt(nonce, ciphertext, head + owner.bytes).decode()
        except (InvalidTag, ValueError):
            raise UnreadableSecret(
                "The stored secret of this client is damaged or belongs to another client; give it a new api_secret"
            ) from None

    def fingerprint(self, text: str) -> str:
        """The same on all servers with this key, and without the key nothing can be read from it."""
        return hmac.digest(self._fingerprint_key, text.encode(errors="surrogatepass"), "sha256").hex()

    def is_current(self, sealed: bytes) -> bool:
        """Whether the key that writes today sealed it; if not, open it and seal it again."""
        return sealed[:_HEAD] == _FORMAT + self._writing


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"dci-server secret box" + key).digest()[:_KEY_ID_LENGTH]


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(_KEY_LENGTH)).decode()


def read_keys(text: str) -> list[bytes]:
    """The form of DCI_SECRETS_KEY: 32-byte keys in base64 or hex, separated by commas, the writing one first."""
    keys: list[bytes] = []
    for number, word in enumerate(text.split(","), start=1):
        key = _read_key(word.strip())
        if key is None:
            raise UnusableKeysError(
                f"DCI_SECRETS_KEY: key {number} is not {_KEY_LENGTH} bytes in base64 or hex; {_MAKE_ONE}"
            )
        keys.append(key)
    return keys


def _read_key(word: str) -> bytes | None:
    try:
        key = bytes.fromhex(word) if len(word) == 2 * _KEY_LENGTH else base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _KEY_LENGTH else None


def load_or_create_key(path: Path) -> str:
    """What the file says, in the form of DCI_SECRETS_KEY; of several processes starting at once, one makes it."""
    if not path.exists():
        _create(path, new_key() + "\n")
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UnusableKeysError(f"{path}: other users may read this key (mode {mode:04o}); run: chmod 600 {path}")
        text = file.read().decode(errors="replace").strip()
    try:
        read_keys(text)
    except UnusableKeysError as error:
        raise UnusableKeysError(f"{path}: {error}") from None
    return text


def _create(path: Path, text: str) -> None:
    """The file appears complete or not at all, and never replaces one that another process made meanwhile."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
