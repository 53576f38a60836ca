# SPDX-License-Identifier: Apache-2.0
"""The keys that sign the provider's tokens: one that is given, or the set that the provider publishes (auth §5.2)."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from dci_server.foundation.auth.secret_box import UnusableKeysError
from dci_server.foundation.errors import ApiError, NotAuthenticated, Unavailable

log = structlog.get_logger("dci_server.auth")

SECONDS_BETWEEN_FETCHES = 60
SECONDS_FRESH = 300
"""After them, the set is fetched again while it is used."""
SECONDS_BELIEVED = 3600
"""As long a set is used while the provider does not answer; a key that left it is not believed any longer than this."""
SECONDS_FOR_AN_ANSWER = 3.0
_LARGEST_ANSWER = 256 * 1024
_KEY_BITS = range(2048, 8192 + 1)
_LONGEST_KID_SHOWN = 100


class ProviderKeys(Protocol):
    async def find(self, kid: str | None) -> RSAKey:
        """The key of this name. Raises NotAuthenticated when the provider has no such key."""
        ...

    async def close(self) -> None: ...


class GivenKey:
    """One key, whatever a token calls it."""

    def __init__(self, pem: str) -> None:
        try:
            # A variable often holds the lines of a key with `\n` written out.
            key = load_pem_public_key(pem.replace("\\n", "\n").encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPublicKey) or key.key_size not in _KEY_BITS:
            raise UnusableKeysError(
                "SSO_PUBLIC_KEY is not a public RSA key of 2048 bits or more in PEM; leave it unset to have the keys "
                "fetched from the provider"
            )
        self._key = RSAKey.import_key(key)

    async def find(self, kid: str | None) -> RSAKey:  # noqa: ARG002
        return self._key

    async def close(self) -> None:
        return


class PublishedKeys:
    """The provider's set, by kid. However many unknown kids arrive, it is fetched at most once a minute."""

    def __init__(
        self,
        address: str,
        issuer: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float | None = None,
    ) -> None:
        """`address` is what `/.well-known/openid-configuration` is below; mostly it is the issuer itself."""
        self.patience = SECONDS_FOR_AN_ANSWER if patience is None else patience
        self._configuration_url = address.rstrip("/") + "/.well-known/openid-configuration"
        self._issuer = issuer
        self._clock = clock
        self._keys: Mapping[str, RSAKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failure: ApiError | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._trusted: ssl.SSLContext | None = None

    async def find(self, kid: str | None) -> RSAKey:
        if kid is None:
            raise NotAuthenticated("JWT token decode error: the header names no key (kid)")
        key = self._keys.get(kid) if self._age() < SECONDS_BELIEVED else None
        if key is not None:
            if self._age() >= SECONDS_FRESH:
                self._fetch_soon()  # Nobody waits for it.
            return key
        fetching = self._fetch_soon()
        if fetching is not None:
            # Shielded, because others are waiting for the same answer.
            await asyncio.shield(fetching)
        key = self._keys.get(kid) if self._age() < SECONDS_BELIEVED else None
        if key is not None:
            return key
        if self._failure is not None:
            raise type(self._failure)(self._failure.message)
        raise NotAuthenticated(f"kid '{kid[:_LONGEST_KID_SHOWN]}' from token not found in sso server")

    async def examine(self) -> int:
        """How many usable keys are published now. Raises ApiError."""
        await self._fetch()
        if self._failure is not None:
            raise self._failure
        return len(self._keys)

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _fetch_soon(self) -> "asyncio.Task[None] | None":
        """The fetch under way, or a new one; None when the last was less than a minute ago."""
        if self._fetching is not None:
            return self._fetching
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < SECONDS_BETWEEN_FETCHES:
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        started = self._clock()
        try:
            # Two answers, and however slowly their bytes drip in.
            async with asyncio.timeout(3 * self.patience):
                self._keys = await self._download()
            self._fetched_at, self._failure = started, None
        except ApiError as refusal:
            log.warning("the keys of the single sign-on can't be used", reason=refusal.message)
            self._failure = refusal
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, OSError, TimeoutError, ValueError) as error:
            log.warning("the single sign-on does not answer", kind=type(error).__name__)
            self._failure = Unavailable("the provider of the single sign-on does not answer; try again in a minute")
        finally:
            self._fetching = None

    async def _download(self) -> Mapping[str, RSAKey]:
        if self._trusted is None:
            # The system's authorities: a provider may have one of its own. Reading them takes a while.
            self._trusted = await asyncio.to_thread(ssl.create_default_context)
        async with httpx.AsyncClient(verify=self._trusted, timeout=self.patience) as client:
            configuration = await _read_object(client, self._configuration_url)
            if configuration.get("issuer") != self._issuer:
                raise Unavailable("the provider of the single sign-on calls itself otherwise than SSO_ISSUER says")
            address = configuration.get("jwks_uri")
            if not isinstance(address, str) or not _is_as_safe(address, self._configuration_url):
                raise NotAuthenticated("jwks_uri key not in the sso openid-configuration")
            found = (await _read_object(client, address)).get("keys")
        if not isinstance(found, list):
            raise NotAuthenticated("no 'keys' key found in jwks content")
        return _usable_keys(found)  # pyright: ignore[reportUnknownArgumentType]


async def _read_object(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Uncompressed, so that a small answer stays one."""
    body = bytearray()
    async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        if response.status_code != HTTPStatus.OK:
            raise Unavailable(f"the provider of the single sign-on answers {response.status_code}; try again later")
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > _LARGEST_ANSWER:
                raise Unavailable("the provider of the single sign-on answers too much")
    return msgspec.json.decode(body, type=dict[str, Any])


def _is_as_safe(address: str, origin: str) -> bool:
    """A provider that is asked over TLS must not send us elsewhere without it."""
    scheme = urlsplit(address).scheme
    return scheme == "https" or (scheme == "http" and urlsplit(origin).scheme == "http")


def _usable_keys(found: list[Any]) -> Mapping[str, RSAKey]:
    """Those that may sign with RS256; one that can't be read does not take the others along."""
    keys: dict[str, RSAKey] = {}
    for entry in found:
        if not isinstance(entry, dict):
            continue
        facts: dict[str, Any] = entry  # pyright: ignore[reportUnknownVariableType]
        kid = facts.get("kid")
        if not isinstance(kid, str) or facts.get("kty") != "RSA":
            continue
        if facts.get("use") not in (None, "sig") or facts.get("alg") not in (None, "RS256"):
            continue
        with contextlib.suppress(JoseError, ValueError, TypeError, KeyError):
            keys[kid] = _read_key(facts)
    return keys


def _read_key(facts: Mapping[str, Any]) -> RSAKey:
    """A short one is left out before the library sees it, which would warn of it."""
    n, e = facts["n"], facts["e"]
    if not (isinstance(n, str) and isinstance(e, str) and len(n) * 6 // 8 * 8 in _KEY_BITS):
        raise ValueError("not a key of a usable size")
    return RSAKey.import_key({"kty": "RSA", "n": n, "e": e})
