# SPDX-License-Identifier: Apache-2.0
"""Which way of proving who you are a request has chosen (auth §1)."""

from typing import Literal, TypeAlias

from dci_server.foundation.errors import NotAuthenticated

Scheme: TypeAlias = Literal["basic", "bearer", "hmac"]

HEADER_MISSING = "Authorization header missing"
_SCHEMES: dict[str, Scheme] = {
    "Basic": "basic",
    "Bearer": "bearer",
    "DCI2-HMAC-SHA256": "hmac",
    "AWS4-HMAC-SHA256": "hmac",
    "DCI-HMAC-SHA256": "hmac",
}
_LONGEST_WORD_SHOWN = 32


def choose_scheme(authorization: str | None) -> Scheme:
    """The first word decides, and its case counts."""
    if authorization is None:
        raise NotAuthenticated(HEADER_MISSING)
    word = authorization.partition(" ")[0]
    scheme = _SCHEMES.get(word)
    if scheme is None:
        raise NotAuthenticated(f"Authorization scheme {_shown(word)} unknown")
    return scheme


def _shown(word: str) -> str:
    # A long word is likely a token sent without its scheme; it must not end up in a log.
    return word if len(word) <= _LONGEST_WORD_SHOWN else "…"
