# SPDX-License-Identifier: Apache-2.0
"""Whether an answer gives away a secret (decision 18, P8): any answer, to whomever."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from tests.conftest import World

SHOWING = (
    "POST /remotecis",
    "POST /feeders",
    "PUT /remotecis/{remoteci_id}/api_secret",
    "PUT /feeders/{feeder_id}/api_secret",
)
"""The calls that show a secret: the one that they make."""

SHOWING_OF_WEBHOOKS = ("POST /webhooks", "PUT /webhooks/{webhook_id}/secret")
"""The same for the secrets that webhooks are signed with."""

_NEVER_NAMED = (b"password_hash", b"sealed_secret", b'"password":')


@dataclass(frozen=True)
class KnownSecrets:
    """What is looked for: each secret of the scene in clear and sealed, and the hashes of passwords."""

    texts: Sequence[bytes]

    @classmethod
    async def of(cls, world: World) -> "KnownSecrets":
        texts = [key.encode() for key in world.keys.values()]
        for row in await world.db.fetch(
            "select sealed_secret from client_secrets union all select sealed_secret from webhooks"
        ):
            sealed: bytes = row["sealed_secret"]
            texts += [sealed.hex().encode(), base64.b64encode(sealed)]
        for row in await world.db.fetch("select distinct password_hash from users where password_hash is not null"):
            texts.append(row["password_hash"].encode())
        return cls(texts)

    def faults(self, route: str, response: httpx.Response) -> list[str]:
        said = b"\n".join([response.content, *(value for _, value in response.headers.raw)])
        faults = ["a secret is in the answer"] if any(text in said for text in self.texts) else []
        if route.startswith(("GET /openapi.json", "GET /docs")):
            return faults  # they name the fields that bodies and answers have
        shows = route in SHOWING and response.is_success
        if shows != (b'"api_secret"' in said):
            faults.append("api_secret is not in the answer" if shows else "api_secret is in the answer")
        shows_webhook = route in SHOWING_OF_WEBHOOKS and response.is_success
        if shows_webhook != (b'"secret":' in said):
            faults.append("secret is not in the answer" if shows_webhook else "secret is in the answer")
        return faults + [f"{name.decode()} is in the answer" for name in _NEVER_NAMED if name in said]
