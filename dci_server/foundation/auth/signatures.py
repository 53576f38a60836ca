# SPDX-License-Identifier: Apache-2.0
"""Request signatures of remotecis and feeders (auth §4): what a request claims, and whether its secret signed it."""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import quote, unquote, unquote_to_bytes
from uuid import UUID

from dci_server.foundation.errors import NotAuthenticated

ClientType: TypeAlias = Literal["remoteci", "feeder"]
Query: TypeAlias = list[tuple[str, str]]

UNKNOWN_CLIENT = "identity does not exists."
_FAILED = "HmacMechanism failed: "
_INCOMPLETE = _FAILED + "bad or incomplete headers."
_INVALID = _FAILED + "signature is invalid"
_EXPIRED = _FAILED + "signature is expired"

# The part of each algorithm's name that goes before the secret in the key derivation.
_KEY_PREFIXES = {"DCI2-HMAC-SHA256": "DCI2", "AWS4-HMAC-SHA256": "AWS4", "DCI-HMAC-SHA256": "DCI"}
_TERMINATORS = frozenset({"dci2_request", "aws4_request"})
_TIMESTAMP = re.compile(r"[0-9]{8}T(?:[01][0-9]|2[0-3])[0-9]{4}Z")
_WINDOW = timedelta(minutes=15)
_LONGEST_AUTHORIZATION = 2048
_SCOPES_KEPT = 4


@dataclass(frozen=True, slots=True)
class Credential:
    """Which client signs, and the scope its key is derived for."""

    client_type: ClientType
    client_id: UUID
    datestamp: str
    region: str
    service: str
    terminator: str
    scope: str


@dataclass(frozen=True, slots=True)
class Claim:
    """All that the headers say about the signature, known before the body is read."""

    algorithm: str
    credential: Credential
    timestamp: str
    signed_at: datetime
    signed_headers: str
    header_lines: str
    signature: str = field(repr=False)

    @property
    def client_type(self) -> ClientType:
        return self.credential.client_type

    @property
    def client_id(self) -> UUID:
        return self.credential.client_id


class SigningKeys:
    """One client's secret, with the keys derived from it for the scopes it signed in lately."""

    __slots__ = ("_kept", "_secret")

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._kept: dict[tuple[str, str], bytes] = {}

    def key_for(self, claim: Claim) -> bytes:
        """The kept key of this scope, or a fresh one."""
        return self._kept.get((claim.algorithm, claim.credential.scope)) or self._derive(claim)

    def keep(self, claim: Claim, key: bytes) -> None:
        """Call it for a proven claim only: a stranger must not be able to push the client's own scope out."""
        scope = (claim.algorithm, claim.credential.scope)
        if scope in self._kept:
            return
        if len(self._kept) >= _SCOPES_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[scope] = key

    def _derive(self, claim: Claim) -> bytes:
        credential = claim.credential
        key = (_KEY_PREFIXES[claim.algorithm] + self._secret).encode()
        for step in (credential.datestamp, credential.region, credential.service, credential.terminator):
            key = hmac.digest(key, step.encode(), "sha256")
        return key


def read_claim(authorization: str, headers: Mapping[str, str]) -> Claim:
    """`headers` finds lower-case names; its values are the bytes of the wire, read as latin-1 (auth §4.1)."""
    if len(authorization) > _LONGEST_AUTHORIZATION or not authorization.isascii():
        raise NotAuthenticated(_INCOMPLETE)
    words = authorization.split(" ")
    if len(words) != 4 or words[0] not in _KEY_PREFIXES:
        raise NotAuthenticated(_INCOMPLETE)
    algorithm, credential_word, signed_headers_word, signature = words
    credential = _read_credential(credential_word)
    timestamp, signed_at = _read_timestamp(headers)
    signed_headers = _value_of(signed_headers_word, "SignedHeaders=") or ""
    return Claim(
        algorithm=algorithm,
        credential=credential,
        timestamp=timestamp,
        signed_at=signed_at,
        signed_headers=signed_headers,
        header_lines=_header_lines(signed_headers, headers),
        signature=signature.removeprefix("Signature="),
    )


@lru_cache(maxsize=1024)
def _read_credential(word: str) -> Credential:
    """Remembered, because a client sends the same word all day."""
    parts = (_value_of(word, "Credential=") or "").split("/")
    if len(parts) != 6 or parts[5] not in _TERMINATORS:
        raise NotAuthenticated(_INCOMPLETE)
    client_type, client_id, datestamp, region, service, terminator = parts
    if client_type not in ("remoteci", "feeder"):
        raise NotAuthenticated(UNKNOWN_CLIENT)
    try:
        known_id = UUID(client_id)
    except ValueError:
        raise NotAuthenticated(UNKNOWN_CLIENT) from None
    scope = f"{datestamp}/{region}/{service}/{terminator}"
    return Credential(client_type, known_id, datestamp, region, service, terminator, scope)


def _value_of(word: str, label: str) -> str | None:
    value, comma, _ = word.partition(",")
    return value.removeprefix(label) if comma and value.startswith(label) else None


def _read_timestamp(headers: Mapping[str, str]) -> tuple[str, datetime]:
    text = headers.get("x-amz-date")
    if text is None:
        text = headers.get("x-dci-date", "")
    if not _TIMESTAMP.fullmatch(text):
        raise NotAuthenticated(_INCOMPLETE)
    try:
        return text, datetime.fromisoformat(text)
    except ValueError:
        raise NotAuthenticated(_INCOMPLETE) from None


def _header_lines(signed_headers: str, headers: Mapping[str, str]) -> str:
    if signed_headers != signed_headers.lower():
        raise NotAuthenticated(_INVALID)
    lines = ""
    for name in signed_headers.split(";"):
        value = headers.get(name)
        if value is None:
            raise NotAuthenticated(_INVALID)
        lines += f"{name}:{value}\n"
    return lines


def require_in_window(claim: Claim, now: datetime) -> None:
    """15 minutes before or after the server's clock, inclusive (auth §4.7)."""
    behind = now - claim.signed_at
    if abs(behind) <= _WINDOW:
        return
    direction = "behind" if behind > timedelta(0) else "ahead of"
    raise NotAuthenticated(
        f"{_EXPIRED}: the request's clock is {_in_words(abs(behind))} {direction} the server's "
        f"(server time {now:%Y-%m-%dT%H:%M:%SZ}); set the clock of this machine, e.g. with NTP"
    )


def _in_words(span: timedelta) -> str:
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if span.days:
        return f"{span.days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def require_signature(
    claim: Claim, keys: SigningKeys, *, method: str, raw_path: bytes, raw_query: bytes, payload_sha256: str
) -> Query:
    """The query as it was signed: the rest of the request must use these values and no other (decision 56).

    `payload_sha256` is of the bytes received, whatever their media type (decision 27).
    """
    key = keys.key_for(claim)
    for path in _path_readings(raw_path):
        for query in _query_readings(raw_query):
            expected = _sign(key, claim, f"{method}\n{path}\n{_canonical_query(query)}", payload_sha256)
            if hmac.compare_digest(expected, claim.signature):
                keys.keep(claim, key)
                return query
    raise NotAuthenticated(_INVALID)


def _sign(key: bytes, claim: Claim, target: str, payload_sha256: str) -> str:
    request = f"{target}\n{claim.header_lines}\n{claim.signed_headers}\n{payload_sha256}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"{claim.algorithm}\n{claim.timestamp}\n{claim.credential.scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def _path_readings(raw_path: bytes) -> Iterator[str]:
    """Decoded once, then twice (decision 28); the route is found with the first in either case."""
    once = unquote_to_bytes(raw_path).decode(errors="replace")
    yield once
    # quirk: existing servers decode the path twice, so a client that signs for them does too.
    if "%" in once:
        twice = unquote(once)
        if twice != once:
            yield twice


def _query_readings(raw_query: bytes) -> Iterator[Query]:
    """The server's form, then the published client's where it differs (decision 56)."""
    first = read_query(raw_query)
    yield first
    # quirk: the published client keeps the last of repeated names and does not sign blank values.
    last = list({name: value for name, value in _pairs(raw_query) if value}.items())
    if last != first:
        yield last


def read_query(raw_query: bytes) -> Query:
    """Every name once, with its first value; blank values are kept (auth §4.3, conventions §4)."""
    first: dict[str, str] = {}
    for name, value in _pairs(raw_query):
        first.setdefault(name, value)
    return list(first.items())


def _pairs(raw_query: bytes) -> Iterator[tuple[str, str]]:
    for pair in raw_query.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            yield _decode(name), _decode(value)


def _decode(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode(errors="replace")


def _canonical_query(query: Query) -> str:
    encoded = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query)
    return "&".join([f"{name}={value}" for name, value in encoded])
