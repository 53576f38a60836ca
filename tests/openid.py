# SPDX-License-Identifier: Apache-2.0
"""A real OpenID provider for the tests: how it is installed, started, steered, and logged in to."""

import base64
import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jws, jwt
from joserfc.jwk import RSAKey

from tests.node import installed
from tests.waiting import PATIENCE

_SOURCE = Path(__file__).parent / "openid_provider"
_CALLBACK = "https://ui.example.org/callback"
_CLIENT = ("dci-ui", "a secret of the tests")
DCI = "urn:test:dci"
OTHER = "urn:test:other"


def new_signing_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass
class OpenIdProvider:
    """The process; `key` is the private key it signs with, which the tests hold as well."""

    issuer: str
    key: RSAKey
    people: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    async def token_of(self, sub: str, *, resource: str = DCI, scope: str = "openid dci", **claims: Any) -> str:
        """The access token of a person who logs in with a browser; `claims` are what is known of them."""
        await self._steer("people", {"sub": sub, "claims": claims})
        async with self._client() as browser:
            verifier = secrets.token_urlsafe(32)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
            asked = {
                "client_id": _CLIENT[0], "response_type": "code", "redirect_uri": _CALLBACK, "scope": scope,
                "resource": resource, "code_challenge": challenge, "code_challenge_method": "S256",
            }  # fmt: skip
            page = await browser.get("/auth", params=asked)
            for answer in ({"prompt": "login", "login": sub, "password": "any"}, {"prompt": "consent"}):
                interaction = await browser.post(page.headers["location"], data=answer)
                page = await browser.get(interaction.headers["location"])
            code = parse_qs(urlsplit(page.headers["location"]).query)["code"][0]
            return await self._token(
                grant_type="authorization_code", code=code, redirect_uri=_CALLBACK, code_verifier=verifier
            )

    async def token_of_client(self, **claims: Any) -> str:
        """The access token of a program that acts for itself."""
        await self._steer("people", {"sub": _CLIENT[0], "claims": claims})
        return await self._token(grant_type="client_credentials", scope="dci", resource=DCI)

    def _client(self) -> httpx.AsyncClient:
        """That reads no certificates, which takes longer than what is asked here."""
        return httpx.AsyncClient(base_url=self.issuer, verify=False, timeout=PATIENCE)

    async def _token(self, **form: str) -> str:
        async with self._client() as client:
            answer = await client.post("/token", auth=_CLIENT, data=form)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def craft(self, *, key: RSAKey | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token such as the provider could have issued, but for what is given; None leaves a claim out."""
        now = int(time.time())
        said = {
            "iss": self.issuer, "aud": "api.dci", "sub": "carol-sub", "preferred_username": "carol",
            "email": "carol@example.org", "scope": "openid email", "iat": now, "exp": now + 60, **claims,
        }  # fmt: skip
        signing = key or self.key
        head = {"alg": "RS256", "kid": signing.kid, **(header or {})}
        present = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(
            {name: value for name, value in head.items() if value is not None}, present, signing,
            registry=jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False),
        )  # fmt: skip

    async def publish(self, *keys: RSAKey) -> None:
        """From now on it signs with the first of them."""
        await self._steer("keys", [key.as_dict(private=True) for key in keys])

    async def behave(self, how: object) -> None:
        """`well`, `hang up`, `silent`, `failing`, `no json`, `endless`; or an object: that is the answer to everything."""
        await self._steer("behaviour", how)

    async def times_asked_for(self, path: str) -> int:
        return (await self._steer("counts", None)).get(path, 0)

    async def _steer(self, what: str, said: object) -> dict[str, int]:
        async with self._client() as client:
            return (await client.post(f"/test/{what}", json=said)).json()


@contextmanager
def running_provider() -> Generator[OpenIdProvider]:
    """Skips the test where Node.js is not installed."""
    directory = installed(_SOURCE, "the tests of the single sign-on")
    # Beside its dependencies, where it finds them; several test processes start one each.
    draft = directory / f"provider.{os.getpid()}.mjs"
    shutil.copy(_SOURCE / "provider.mjs", draft)
    draft.replace(directory / "provider.mjs")
    with subprocess.Popen(
        ["node", "provider.mjs"],
        cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield OpenIdProvider(process.stdout.readline().strip(), new_signing_key("first"))
        finally:
            process.kill()
