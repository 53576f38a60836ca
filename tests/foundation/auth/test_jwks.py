# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import AsyncIterator

import pytest

from dci_server.foundation.auth.jwks import (
    SECONDS_BELIEVED,
    SECONDS_BETWEEN_FETCHES,
    SECONDS_FRESH,
    GivenKey,
    PublishedKeys,
)
from dci_server.foundation.auth.secret_box import UnusableKeysError
from dci_server.foundation.errors import NotAuthenticated, Unavailable
from tests.openid import OpenIdProvider, new_signing_key
from tests.waiting import PATIENCE, until

JWKS = "/jwks"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(provider: OpenIdProvider, clock: Clock) -> AsyncIterator[PublishedKeys]:
    keys = PublishedKeys(provider.issuer, provider.issuer, clock=clock, patience=PATIENCE)
    yield keys
    await keys.close()


async def has(keys: PublishedKeys, kid: str) -> bool:
    try:
        await keys.find(kid)
    except NotAuthenticated:
        return False
    return True


async def test_a_storm_of_unknown_kids_is_one_fetch_a_minute(
    provider: OpenIdProvider, keys: PublishedKeys, clock: Clock
) -> None:
    before = await provider.times_asked_for(JWKS)

    found = await asyncio.gather(*(has(keys, f"unknown {number}") for number in range(200)))
    for number in range(50):
        clock.now += (SECONDS_BETWEEN_FETCHES - 1) / 50
        found.append(await has(keys, f"later {number}"))
    within_a_minute = await provider.times_asked_for(JWKS) - before
    clock.now += 1
    await has(keys, "unknown")

    assert not any(found)
    assert within_a_minute == 1
    assert await provider.times_asked_for(JWKS) - before == 2


async def test_at_once_all_who_ask_first_get_the_key(provider: OpenIdProvider, keys: PublishedKeys) -> None:
    before = await provider.times_asked_for(JWKS)

    assert all(await asyncio.gather(*(has(keys, "first") for _ in range(20))))
    assert await provider.times_asked_for(JWKS) - before == 1


async def test_a_new_key_is_found_without_a_restart(
    provider: OpenIdProvider, keys: PublishedKeys, clock: Clock
) -> None:
    await keys.find("first")
    await provider.publish(new_signing_key("second"), provider.key)
    clock.now += SECONDS_BETWEEN_FETCHES

    assert await has(keys, "second")
    assert await has(keys, "first")


async def test_a_key_that_left_the_set_is_not_believed_after_the_next_fetch(
    provider: OpenIdProvider, keys: PublishedKeys, clock: Clock
) -> None:
    await keys.find("first")
    await provider.publish(new_signing_key("second"))

    clock.now += SECONDS_FRESH
    while_fetching = await has(keys, "first")

    async def is_believed_no_more() -> bool:
        return not await has(keys, "first")

    assert while_fetching
    await until(is_believed_no_more)


@pytest.mark.parametrize("how", ["hang up", "silent", "failing", "no json", "endless", [], {"issuer": "somebody else"}])
async def test_an_unusable_provider_is_503_for_unknown_kids_while_known_keys_work(
    provider: OpenIdProvider, keys: PublishedKeys, clock: Clock, how: object
) -> None:
    await keys.find("first")
    await provider.behave(how)
    if how == "silent":
        keys.patience = 0.3
    clock.now += SECONDS_BETWEEN_FETCHES

    for _ in range(2):
        with pytest.raises(Unavailable):
            await keys.find("second")
    assert await has(keys, "first")

    clock.now += SECONDS_BELIEVED
    with pytest.raises(Unavailable):
        await keys.find("first")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "jwks_uri key not in the sso openid-configuration"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri key not in the sso openid-configuration"),
        ({"jwks_uri": "<issuer>/jwks"}, "no 'keys' key found in jwks content"),
        ({"jwks_uri": "<issuer>/jwks", "keys": []}, "kid 'first' from token not found in sso server"),
    ],
)
async def test_a_provider_without_keys_is_explained(
    provider: OpenIdProvider, keys: PublishedKeys, answer: dict[str, object], message: str
) -> None:
    filled = {
        name: value.replace("<issuer>", provider.issuer) if isinstance(value, str) else value
        for name, value in answer.items()
    }
    await provider.behave({"issuer": provider.issuer, **filled})

    with pytest.raises(NotAuthenticated) as refusal:
        await keys.find("first")

    assert refusal.value.message == message


async def test_keys_of_other_kinds_are_left_out(provider: OpenIdProvider, keys: PublishedKeys) -> None:
    good = provider.key.as_dict(private=False)
    entries = [
        {**good, "kid": "for encryption", "use": "enc"},
        {**good, "kid": "of another algorithm", "alg": "RS512"},
        {**good, "kid": "short", "n": good["n"][:171]},
        {**good, "kid": "broken", "n": "%" * 342},
        {**good, "kid": 7},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "elliptic", "crv": "P-256", "x": "AA", "y": "AA"},
        "text",
        {"kty": "RSA", "kid": "plain", "n": good["n"], "e": good["e"]},
    ]
    await provider.behave({"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/jwks", "keys": entries})

    assert await has(keys, "plain")
    for kid in ("for encryption", "of another algorithm", "short", "broken", "shared", "elliptic"):
        assert not await has(keys, kid)


def test_a_given_key_must_be_a_public_rsa_key(provider: OpenIdProvider) -> None:
    GivenKey(provider.key.as_pem(private=False).decode())
    GivenKey(provider.key.as_pem(private=False).decode().replace("\n", "\\n"))

    for pem in ("", "no key", provider.key.as_pem(private=True).decode()):
        with pytest.raises(UnusableKeysError):
            GivenKey(pem)
