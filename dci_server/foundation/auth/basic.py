# SPDX-License-Identifier: Apache-2.0
"""User name and password as sent by `Authorization: Basic` (auth §3)."""

import base64
import binascii

from dci_server.foundation.auth.scheme import HEADER_MISSING
from dci_server.foundation.errors import NotAuthenticated

# The same words for an unknown user and for a wrong password (decision 22).
INVALID_CREDENTIALS = "Invalid user credentials"


def read_login_and_password(authorization: str) -> tuple[str, str]:
    """The password may contain colons, the login may not."""
    words = authorization.split(" ")
    if len(words) != 2:
        raise NotAuthenticated(HEADER_MISSING)
    login, colon, password = _decode(words[1]).partition(":")
    if not colon:
        raise NotAuthenticated(HEADER_MISSING)
    # PostgreSQL has no such text, so nobody can have this login.
    if "\0" in login:
        raise NotAuthenticated(INVALID_CREDENTIALS)
    return login, password


def _decode(word: str) -> str:
    try:
        return base64.b64decode(word, validate=True).decode()
    except (binascii.Error, ValueError):
        raise NotAuthenticated(HEADER_MISSING) from None
