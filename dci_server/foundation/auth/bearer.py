# SPDX-License-Identifier: Apache-2.0
"""Tokens of the single sign-on, as sent by `Authorization: Bearer` (auth §5)."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError

from dci_server.foundation.auth.jwks import ProviderKeys
from dci_server.foundation.errors import NotAuthenticated

NOT_CONFIGURED = "single sign-on is not configured here"
CANNOT_CREATE = "Cannot create user in Open ID Connect auth mechanism"
_EXPIRED = "JWT token expired, please refresh."
_UNREADABLE = "JWT token decode error: "
_SIGNED_WITH = ["RS256"]
_CLOCK_SKEW_SECONDS = 60
"""By how much a token may come from the future; none is accepted after its end."""
_LONGEST_TOKEN = 32 * 1024
_LONGEST_NAME = 255
_SEGMENTS = 3


@dataclass(frozen=True, slots=True)
class SsoLogin:
    """What a verified token says of its bearer."""

    username: str
    fullname: str
    email: str | None
    subject: str | None
    keeps_subject: bool
    """Whether the subject may be written down: not from a token of the scope `openid` alone."""
    is_read_only: bool
    issued_at: datetime
    """Naive UTC; long ago when the token does not say."""


class SingleSignOn:
    """Which tokens are believed."""

    def __init__(
        self,
        keys: ProviderKeys,
        *,
        issuer: str,
        audiences: Collection[str],
        read_only_group: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audiences = frozenset(audiences)
        self._read_only_group = read_only_group
        self._clock = clock
        # The algorithm is ours to choose, never the token's; headers that carry or name a key are not looked at.
        self._registry = jws.JWSRegistry(algorithms=_SIGNED_WITH, strict_check_header=False)
        self._registry.max_header_length = 4096
        self._registry.max_payload_length = _LONGEST_TOKEN

    async def read(self, authorization: str) -> SsoLogin:
        """Raises NotAuthenticated, or Unavailable when the provider's keys can't be had."""
        words = authorization.split(" ")
        if len(words) != 2:
            raise NotAuthenticated(_UNREADABLE + "write 'Bearer', one space, and the token")
        claims = _read_claims(await self._payload(words[1]))
        self._require_valid_now(claims)
        self._require_for_us(claims)
        return self._login(claims)

    async def close(self) -> None:
        await self._keys.close()

    async def _payload(self, token: str) -> bytes:
        signed = self._extract(token)
        kid = signed.protected.get("kid")
        key = await self._keys.find(kid if isinstance(kid, str) else None)
        try:
            if not jws.validate_compact(signed, key, algorithms=_SIGNED_WITH, registry=self._registry):
                raise NotAuthenticated(_UNREADABLE + "Signature verification failed")
        except BadSignatureError:
            raise NotAuthenticated(_UNREADABLE + "Signature verification failed") from None
        except (JoseError, ValueError, TypeError):
            raise NotAuthenticated(_UNREADABLE + "Invalid header") from None
        return bytes(signed.payload)

    def _extract(self, token: str) -> jws.CompactSignature:
        """Read, not yet believed. What could never be right does not reach the keys, nor the provider."""
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            raise NotAuthenticated(_UNREADABLE + "Invalid token")
        if token.count(".") != _SEGMENTS - 1:
            raise NotAuthenticated(_UNREADABLE + "Not enough segments")
        try:
            signed = jws.extract_compact(token.encode(), registry=self._registry)
        except (JoseError, AttributeError, ValueError, TypeError, RecursionError):
            raise NotAuthenticated(_UNREADABLE + "Invalid header padding") from None
        header = cast("object", signed.protected)
        if not isinstance(header, dict) or "crit" in header:
            raise NotAuthenticated(_UNREADABLE + "Invalid header")
        if signed.protected.get("alg") not in _SIGNED_WITH:
            raise NotAuthenticated(_UNREADABLE + "The specified alg value is not allowed")
        return signed

    def _require_valid_now(self, claims: "_Claims") -> None:
        now = self._clock()
        if claims.exp <= now:
            raise NotAuthenticated(_EXPIRED)
        if (claims.nbf or 0) > now + _CLOCK_SKEW_SECONDS or (claims.iat or 0) > now + _CLOCK_SKEW_SECONDS:
            raise NotAuthenticated(_UNREADABLE + "The token is not yet valid")

    def _require_for_us(self, claims: "_Claims") -> None:
        if claims.iss != self._issuer:
            raise NotAuthenticated(_UNREADABLE + "Invalid issuer")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._audiences.isdisjoint(audiences):
            raise NotAuthenticated(_UNREADABLE + "Invalid audience")

    def _login(self, claims: "_Claims") -> SsoLogin:
        username = claims.username if claims.preferred_username is None else claims.preferred_username
        if not username:
            raise NotAuthenticated(
                "the token names no user (preferred_username); log in to the single sign-on with an account of your own"
            )
        email = claims.email or None
        subject = claims.sub or None
        for text in (username, email, subject):
            if text is not None and not _is_storable(text):
                raise NotAuthenticated(CANNOT_CREATE)
        fullname = claims.name if isinstance(claims.name, str) and "\0" not in claims.name else None
        return SsoLogin(
            username=username,
            fullname=(fullname or username)[:_LONGEST_NAME],
            email=email,
            subject=subject,
            keeps_subject=claims.scope not in (None, "openid"),
            is_read_only=self._read_only_group in _roles(claims.realm_access),
            issued_at=datetime.fromtimestamp(max(claims.iat or 0, 0), UTC).replace(tzinfo=None),
        )


class _Claims(msgspec.Struct):
    """Those that are used. A token without issuer, audience or end is none (decision 29)."""

    iss: str
    exp: float
    aud: str | list[str]
    nbf: float | None = None
    iat: float | None = None
    sub: str | None = None
    scope: Any = None
    preferred_username: str | None = None
    username: str | None = None
    name: Any = None
    email: str | None = None
    realm_access: Any = None


def _read_claims(payload: bytes) -> _Claims:
    try:
        return msgspec.json.decode(payload, type=_Claims)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # The library's text names the claim and no value.
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "Invalid payload string"
        raise NotAuthenticated(_UNREADABLE + reason) from None


def _is_storable(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and "\0" not in text


def _roles(realm_access: object) -> Sequence[object]:
    """A claim of another form grants nothing: a text is not searched for the group's name."""
    if not isinstance(realm_access, dict):
        return []
    roles: object = realm_access.get("roles")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return roles if isinstance(roles, list) else []  # pyright: ignore[reportUnknownVariableType]
