# SPDX-License-Identifier: Apache-2.0
"""Guessing passwords gets slow, for nobody else (decision page 0018)."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from dci_server.foundation.auth.attempts import LONGEST_WAIT, seconds_to_wait
from dci_server.foundation.auth.authenticator import Authenticator
from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.waiting import until_it_holds


class Pauses:
    """Says how long refusals would have waited if all else took no time; holds them as long as it is closed."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.open.wait()

    async def until_held(self, count: int) -> None:
        await until_it_holds(lambda: len(self.asked) >= count)


@pytest.fixture
def authenticator(app: Application) -> Authenticator:
    assert app.services is not None
    return app.services.authenticator


@pytest.fixture
def pauses(authenticator: Authenticator) -> Iterator[Pauses]:
    pauses = Pauses()
    authenticator.attempts.pause = pauses
    authenticator.attempts.clock = lambda: 0.0
    yield pauses
    pauses.open.set()


def guess(client: httpx.AsyncClient, password: str, login: str = "alice") -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(client.get("/identity", auth=httpx.BasicAuth(login, password)))


def from_address(client: httpx.AsyncClient, address: str) -> httpx.AsyncClient:
    client._transport.client = (address, 4711)  # pyright: ignore
    return client


async def failures_of(world: World) -> dict[str, int]:
    return {row["subject"]: row["failures"] for row in await world.db.fetch("select * from login_failures")}


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0), (5, 0), (6, 0.2), (7, 0.4), (10, 3.2), (11, 5), (2_000_000, 5)]
)
def test_the_wait_doubles_up_to_a_longest(failures: int, seconds: float) -> None:
    assert seconds_to_wait(failures, 5) == pytest.approx(seconds)  # pyright: ignore[reportUnknownMemberType]


async def test_refusals_get_slow_for_the_account_from_wherever_they_come(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    for number in range(9):
        response = await guess(from_address(client_of("stranger"), f"192.0.2.{number}"), f"guess {number}")
        assert (response.status_code, response.json()["message"]) == (401, "Invalid user credentials")

    assert pauses.asked == [0, 0, 0, 0, 0, 0.2, 0.4, 0.8, 1.6]
    assert sorted((await failures_of(world)).values()) == [*([1] * 9), 9]


async def test_refusals_get_slow_for_the_address_whatever_the_account(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    await world.db.execute("insert into login_failures values ('address:192.0.2.7', 30, now() at time zone 'UTC')")
    here = from_address(client_of("stranger"), "192.0.2.7")
    elsewhere = from_address(client_of("stranger"), "192.0.2.8")

    await guess(here, "x", login="nobody of that name")
    await guess(elsewhere, "x", login="somebody else")

    assert pauses.asked == [LONGEST_WAIT, 0]


async def test_an_unknown_account_gets_slow_like_a_known_one(client_of: ClientOf, world: World, pauses: Pauses) -> None:
    stranger = client_of("stranger")
    for login in ("alice", "nobody of that name"):
        for number in range(7):
            await guess(from_address(stranger, f"192.0.2.{number}"), f"guess {number}", login)

    known, unknown = pauses.asked[:7], pauses.asked[7:]
    assert known == unknown == [0, 0, 0, 0, 0, 0.2, 0.4]


async def test_a_right_password_does_not_wait_while_a_stranger_guesses(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    pauses.open.clear()
    attacker = from_address(client_of("stranger"), "192.0.2.66")
    guesses = [guess(attacker, f"guess {number}") for number in range(4)]
    await pauses.until_held(4)

    owner = await from_address(client_of("alice"), "192.0.2.1").get("/identity")
    neighbour = await from_address(client_of("bob"), "192.0.2.66").get("/identity")
    pauses.open.set()

    assert (owner.status_code, neighbour.status_code) == (200, 200)
    assert {(await each).status_code for each in guesses} == {401}


async def test_who_guesses_many_at_once_is_told_when_to_come_back(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    pauses.open.clear()
    stranger = client_of("stranger")
    held = [guess(stranger, f"guess {number}") for number in range(4)]
    await pauses.until_held(4)

    fifth = await guess(stranger, "guess 5")
    same = guess(stranger, "guess 1")
    lab = await client_of("blue_lab").get("/identity")
    pauses.open.set()

    assert (fifth.status_code, fifth.headers["retry-after"]) == (429, "5")
    assert lab.status_code == 200
    assert {(await each).status_code for each in [*held, same]} == {401}
    assert len(pauses.asked) == 4
    assert (await client_of("alice").get("/identity")).status_code == 200


async def test_a_remembered_password_is_let_in_whatever_happens(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    alice = client_of("alice")
    before = (await alice.get("/identity")).status_code
    pauses.open.clear()
    held = [guess(client_of("stranger"), f"guess {number}") for number in range(4)]
    await pauses.until_held(4)

    during = (await alice.get("/identity")).status_code
    pauses.open.set()
    await asyncio.gather(*held)

    assert (before, during) == (200, 200)


async def test_a_right_password_forgives_the_account_and_not_the_address(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    stranger = client_of("stranger")
    for number in range(3):
        await guess(stranger, f"guess {number}")
    await client_of("alice").get("/identity")

    assert await failures_of(world) == {"address:127.0.0.1": 3}


async def test_failures_are_forgotten_after_a_while(
    client_of: ClientOf, world: World, pauses: Pauses, authenticator: Authenticator
) -> None:
    stranger = client_of("stranger")
    await guess(stranger, "guess")
    await world.db.execute("update login_failures set failures = 100, last_at = last_at - interval '16 minutes'")

    await guess(stranger, "another")
    counted = sorted((await failures_of(world)).values())
    await world.db.execute("update login_failures set last_at = last_at - interval '16 minutes'")
    await authenticator.attempts.forget_old()

    assert counted == [1, 1]
    assert pauses.asked == [0, 0]
    assert await failures_of(world) == {}


async def test_what_was_typed_as_a_login_cannot_be_read_from_the_database(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    await guess(client_of("stranger"), "alice", login="my secret password")

    assert not any("secret" in subject for subject in await failures_of(world))


async def test_while_imported_hashes_are_left_all_refusals_take_as_long(
    client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    await world.db.execute(
        "update users set password_hash = '$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5' where name = 'bob'"
    )

    for login in ("alice", "bob", "nobody of that name"):
        await guess(client_of("stranger"), "x", login)

    assert pauses.asked == [2, 2, 2]


async def test_what_the_look_at_a_password_took_is_part_of_the_wait(
    client_of: ClientOf, world: World, authenticator: Authenticator, pauses: Pauses
) -> None:
    await world.db.execute("insert into login_failures values ('address:192.0.2.7', 30, now() at time zone 'UTC')")
    moments = iter([10.0, 13.0, 20.0, 26.0])
    authenticator.attempts.clock = lambda: next(moments)

    for password in ("quick", "slow"):
        await guess(from_address(client_of("stranger"), "192.0.2.7"), password)

    assert pauses.asked == [LONGEST_WAIT - 3, 0]


async def test_a_proxy_that_is_trusted_names_the_address(
    app: Application, client_of: ClientOf, world: World, pauses: Pauses
) -> None:
    stranger = client_of("stranger")

    await stranger.get(
        "/identity",
        auth=httpx.BasicAuth("alice", "x"),
        headers=[("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "198.51.100.9")],
    )

    assert "address:127.0.0.1" in await failures_of(world)


class TestBehindAProxy:
    @pytest.fixture(autouse=True)
    def _trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DCI_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")

    async def test_each_line_of_the_header_counts(self, client_of: ClientOf, world: World) -> None:
        await client_of("stranger").get(
            "/identity",
            auth=httpx.BasicAuth("alice", "x"),
            headers=[("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "198.51.100.9, 10.0.0.3")],
        )

        assert "address:198.51.100.9" in await failures_of(world)
