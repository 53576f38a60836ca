# SPDX-License-Identifier: Apache-2.0
"""Which tokens are believed, with the keys of a real provider."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from dci_server.foundation.auth.bearer import SingleSignOn
from dci_server.foundation.auth.jwks import PublishedKeys
from dci_server.foundation.errors import NotAuthenticated
from tests.openid import OTHER, OpenIdProvider, new_signing_key
from tests.waiting import PATIENCE

CREATE_REFUSED = "Cannot create user in Open ID Connect auth mechanism"
UNREADABLE = "JWT token decode error: "


@pytest.fixture(scope="module")
async def sso(provider_process: OpenIdProvider) -> AsyncIterator[SingleSignOn]:
    issuer = provider_process.issuer
    await provider_process.behave("well")
    await provider_process.publish(provider_process.key)
    sso = SingleSignOn(
        PublishedKeys(issuer, issuer, patience=PATIENCE),
        issuer=issuer,
        audiences=["api.dci", "dci"],
        read_only_group="redhat:employees",
    )
    yield sso
    await sso.close()


async def refusal_of(sso: SingleSignOn, token: str) -> str:
    with pytest.raises(NotAuthenticated) as refusal:
        await sso.read(f"Bearer {token}")
    return refusal.value.message


def segments(token: str) -> list[str]:
    return token.split(".")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def signed_with_public_key(key: RSAKey, payload: str) -> str:
    """What a server believes that lets the token choose the algorithm."""
    signed = f"{encoded({'alg': 'HS256', 'kid': key.kid})}.{payload}"
    signature = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


async def test_a_real_token_is_believed(sso: SingleSignOn, provider: OpenIdProvider) -> None:
    token = await provider.token_of("carol-sub", preferred_username="carol", email="carol@example.org")

    login = await sso.read(f"Bearer {token}")

    assert (login.username, login.subject, login.email) == ("carol", "carol-sub", "carol@example.org")
    assert not login.is_read_only


@pytest.mark.parametrize(
    "claims",
    [{"aud": "dci"}, {"aud": ["elsewhere", "dci"]}, {"nbf": "in 5 s"}, {"iat": None}, {"iat": -5},
     {"exp": 1e300}, {"realm_access": {"roles": "redhat:employees"}}, {"realm_access": ["redhat:employees"]}],
)  # fmt: skip
async def test_what_a_token_may_also_say(sso: SingleSignOn, provider: OpenIdProvider, claims: dict[str, Any]) -> None:
    login = await sso.read(f"Bearer {provider.craft(**from_now(claims))}")

    assert (login.username, login.is_read_only) == ("carol", False)


def from_now(claims: dict[str, Any]) -> dict[str, Any]:
    """With the moments that are told from the beginning of the test, which may be long after the tables are read."""
    now = int(time.time())
    moments = {"1 s ago": now - 1, "in 5 s": now + 5, "in 15 min": now + 900}
    return {name: moments.get(value, value) if isinstance(value, str) else value for name, value in claims.items()}


async def test_a_long_name_is_cut(sso: SingleSignOn, provider: OpenIdProvider) -> None:
    assert len((await sso.read(f"Bearer {provider.craft(name='x' * 999)}")).fullname) == 255


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": "1 s ago"}, "JWT token expired, please refresh."),
        ({"exp": None}, UNREADABLE + "Object missing required field `exp`"),
        ({"exp": "tomorrow"}, UNREADABLE + "Expected `float`, got `str` - at `$.exp`"),
        ({"exp": True}, UNREADABLE + "Expected `float`, got `bool` - at `$.exp`"),
        ({"nbf": "in 15 min"}, UNREADABLE + "The token is not yet valid"),
        ({"iat": "in 15 min"}, UNREADABLE + "The token is not yet valid"),
        ({"iss": "https://elsewhere.example.org"}, UNREADABLE + "Invalid issuer"),
        ({"iss": None}, UNREADABLE + "Object missing required field `iss`"),
        ({"aud": "another.service"}, UNREADABLE + "Invalid audience"),
        ({"aud": ["another.service"]}, UNREADABLE + "Invalid audience"),
        ({"aud": []}, UNREADABLE + "Invalid audience"),
        ({"aud": None}, UNREADABLE + "Object missing required field `aud`"),
        ({"aud": {"dci": "dci"}}, UNREADABLE + "Expected `str | array`, got `object` - at `$.aud`"),
        ({"preferred_username": "x" * 256}, CREATE_REFUSED),
        ({"preferred_username": "a\0b"}, CREATE_REFUSED),
        ({"email": "x" * 256}, CREATE_REFUSED),
        ({"sub": "x" * 256}, CREATE_REFUSED),
    ],
)
async def test_a_token_with_claims_of_no_use_is_refused(
    sso: SingleSignOn, provider: OpenIdProvider, claims: dict[str, Any], message: str
) -> None:
    assert await refusal_of(sso, provider.craft(**from_now(claims))) == message


@pytest.mark.parametrize("claims", [{"preferred_username": None}, {"preferred_username": "", "username": "carol"}])
async def test_a_token_without_a_user_is_refused(
    sso: SingleSignOn, provider: OpenIdProvider, claims: dict[str, Any]
) -> None:
    assert "names no user" in await refusal_of(sso, provider.craft(**claims))


async def test_a_real_token_for_another_service_is_refused(sso: SingleSignOn, provider: OpenIdProvider) -> None:
    token = await provider.token_of("carol-sub", resource=OTHER, preferred_username="carol")

    assert await refusal_of(sso, token) == UNREADABLE + "Invalid audience"


async def test_a_real_token_of_another_algorithm_or_key_is_refused(sso: SingleSignOn, provider: OpenIdProvider) -> None:
    """Each is a real token with its claims untouched, signed anew as an attacker could."""
    real = await provider.token_of("alice-sub", preferred_username="mallory")
    head, payload, signature = segments(real)
    claims = base64.urlsafe_b64decode(payload + "==")
    any_algorithm = jws.JWSRegistry(algorithms=["ES256", "RS512", "PS256"], strict_check_header=False)
    of_any_algorithm = RSAKey.import_key(provider.key.as_pem(private=True))
    mallory = new_signing_key("first")
    elliptic = ECKey.generate_key("P-256")

    def signed(header: dict[str, Any], key: Any) -> str:
        return jws.serialize_compact({"kid": "first", **header}, claims, key, registry=any_algorithm)

    def signed_by_mallory(**header: Any) -> str:
        registry = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
        return jws.serialize_compact({"alg": "RS256", "kid": "first", **header}, claims, mallory, registry=registry)

    forged = {
        "none": f"{encoded({'alg': 'none', 'kid': 'first'})}.{payload}.",
        "None": f"{encoded({'alg': 'None', 'kid': 'first'})}.{payload}.{signature}",
        "no algorithm": f"{encoded({'kid': 'first'})}.{payload}.{signature}",
        "list of algorithms": f"{encoded({'alg': ['RS256'], 'kid': 'first'})}.{payload}.{signature}",
        "hmac with the public key": signed_with_public_key(provider.key, payload),
        "elliptic": signed({"alg": "ES256"}, elliptic),
        "longer hash": signed({"alg": "RS512"}, of_any_algorithm),
        "pss": signed({"alg": "PS256"}, of_any_algorithm),
        "unknown key, known kid": signed_by_mallory(),
        "key in the header": signed_by_mallory(jwk=mallory.as_dict(private=False)),
        "key elsewhere": signed_by_mallory(jku="https://mallory.example.org/jwks", x5u="https://mallory.example.org/x"),
        "tampered claims": f"{head}.{encoded({**json.loads(claims), 'preferred_username': 'alice'})}.{signature}",
        "tampered head": f"{encoded({'alg': 'RS256', 'kid': 'first'})}.{payload}.{signature}",
        "no signature": f"{head}.{payload}.",
    }

    believed: list[str] = []
    for name, token in forged.items():
        try:
            await sso.read(f"Bearer {token}")
        except NotAuthenticated:
            continue
        believed.append(name)

    assert believed == []
    assert (await sso.read(f"Bearer {real}")).username == "mallory"


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]}])
async def test_a_header_that_must_be_understood_is_not(
    sso: SingleSignOn, provider: OpenIdProvider, header: dict[str, Any]
) -> None:
    """Signed as it is, so that only the header is wrong."""
    _, payload, _ = segments(provider.craft())
    head = encoded({"alg": "RS256", "kid": "first", **header})
    signature = provider.key.private_key.sign(f"{head}.{payload}".encode(), PKCS1v15(), SHA256())  # pyright: ignore
    token = f"{head}.{payload}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    assert await refusal_of(sso, token) == UNREADABLE + "Invalid header"


async def test_an_unknown_kid_is_named(sso: SingleSignOn, provider: OpenIdProvider) -> None:
    stranger = new_signing_key("stranger")

    assert await refusal_of(sso, provider.craft(key=stranger)) == "kid 'stranger' from token not found in sso server"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("Bearer", "write 'Bearer', one space, and the token"),
        ("Bearer a b", "write 'Bearer', one space, and the token"),
        ("Bearer  x.y.z", "write 'Bearer', one space, and the token"),
        ("Bearer ", "Not enough segments"),
        ("Bearer x", "Not enough segments"),
        ("Bearer a.b.c.d", "Not enough segments"),
        ("Bearer x.y.z", "Invalid header padding"),
        ("Bearer é.y.z", "Invalid token"),
        ("Bearer e30.e30.e30", "Invalid header padding"),
        (f"Bearer {encoded(['alg'])}.e30.e30", "Invalid header"),
        (f"Bearer {encoded('alg')}.e30.e30", "Invalid header"),
        (f"Bearer {base64.urlsafe_b64encode(b'[' * 3000).decode()}.e30.e30", "Invalid header padding"),
        ("Bearer " + "x." * 40000, "Invalid token"),
        (f"Bearer {encoded({'alg': 'RS256'})}.e30.e30", "the header names no key (kid)"),
        (f"Bearer {encoded({'alg': 'RS256', 'kid': 5})}.e30.e30", "the header names no key (kid)"),
    ],
)
async def test_what_is_no_token_is_refused(sso: SingleSignOn, authorization: str, message: str) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        await sso.read(authorization)

    assert refusal.value.message == UNREADABLE + message


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"not json", b'{"iss": "\xff"}', b'{"iss": "\\ud800"}', b"[" * 20000, b'{"exp": 1e999}']
)
async def test_a_signed_payload_that_holds_no_claims_is_refused(
    sso: SingleSignOn, provider: OpenIdProvider, payload: bytes
) -> None:
    token = jws.serialize_compact({"alg": "RS256", "kid": "first"}, payload, provider.key, algorithms=["RS256"])

    assert UNREADABLE in await refusal_of(sso, token)
