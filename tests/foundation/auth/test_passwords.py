# SPDX-License-Identifier: Apache-2.0
import asyncio
from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher

from dci_server.foundation.auth.passwords import PasswordVerdicts, hash_password, needs_rehash
from dci_server.foundation.errors import ApiError

PASSWORD = "correct horse: bättery"
STORED = hash_password(PASSWORD)
WEAK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted(PasswordVerdicts):
    """Counts what was really computed."""

    computed = 0

    def _compute(self, stored_hash: str | None, password: bytes) -> bool:
        self.computed += 1
        return super()._compute(stored_hash, password)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verdicts(clock: Callable[[], float]) -> Iterator[Counted]:
    verdicts = Counted(entries=2, lifetime=300, clock=clock)
    yield verdicts
    verdicts.close()


def test_a_hash_is_argon2id_with_the_chosen_parameters() -> None:
    assert STORED.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password(PASSWORD) != STORED


@pytest.mark.parametrize("password", ["a\0b", "\ud800", "x" * 4097, "é" * 2049])
def test_a_password_that_could_never_be_verified_is_not_set(password: str) -> None:
    with pytest.raises(ApiError, match=r"^password: at most 4096 bytes"):
        hash_password(password)


@pytest.mark.parametrize(
    ("stored_hash", "outdated"),
    [(STORED, False), (WEAK, True), ("$6$salt$hash", True)],
    ids=["current", "weak", "imported"],
)
def test_hashes_of_other_parameters_want_a_new_one(stored_hash: str, outdated: bool) -> None:
    assert needs_rehash(stored_hash) is outdated


@pytest.mark.parametrize(
    ("stored_hash", "password", "right"),
    [
        (STORED, PASSWORD, True),
        (WEAK, PASSWORD, True),
        (STORED, PASSWORD + " ", False),
        (STORED, "", False),
        (None, PASSWORD, False),
        ("", PASSWORD, False),
        ("$argon2id$v=19$m=19456,t=2,p=1$broken", PASSWORD, False),
        ("$6$rounds=656000$salt$hash", PASSWORD, False),
        ("\ud800é", PASSWORD, False),
    ],
)
async def test_only_the_password_behind_the_hash_is_right(
    verdicts: Counted, stored_hash: str | None, password: str, right: bool
) -> None:
    assert await verdicts.verify(stored_hash, password, subject="alice") is right
    assert verdicts.computed == 1


@pytest.mark.parametrize("password", ["a\0b", "\ud800", "x" * 4097, "é" * 2049])
async def test_a_password_that_cannot_be_right_is_not_computed(verdicts: Counted, password: str) -> None:
    assert await verdicts.verify(STORED, password, subject="alice") is False
    assert verdicts.computed == 0


async def test_a_right_password_is_remembered_for_its_lifetime(verdicts: Counted, clock: Clock) -> None:
    await verdicts.verify(STORED, PASSWORD, subject="alice")

    clock.now += 299
    assert await verdicts.verify(STORED, PASSWORD, subject="alice")
    assert verdicts.computed == 1

    clock.now += 1
    assert await verdicts.verify(STORED, PASSWORD, subject="alice")
    assert verdicts.computed == 2


async def test_a_changed_password_is_forgotten_at_once(verdicts: Counted) -> None:
    await verdicts.verify(STORED, PASSWORD, subject="alice")

    assert await verdicts.verify(hash_password("another"), PASSWORD, subject="alice") is False


async def test_a_verdict_holds_for_its_subject_only(verdicts: Counted) -> None:
    await verdicts.verify(STORED, PASSWORD, subject="alice")
    await verdicts.verify(STORED, PASSWORD, subject="bob")

    assert verdicts.computed == 2


async def test_guesses_always_cost_and_never_displace_a_good_verdict(verdicts: Counted) -> None:
    await verdicts.verify(WEAK, PASSWORD, subject="alice")

    for guess in ("a", "b", "c", "a"):
        assert await verdicts.verify(WEAK, guess, subject="alice") is False
    assert verdicts.computed == 5

    assert await verdicts.verify(WEAK, PASSWORD, subject="alice")
    assert verdicts.computed == 5


async def test_the_least_recently_used_verdict_makes_room(verdicts: Counted) -> None:
    for subject in ("alice", "bob", "alice", "carol"):
        await verdicts.verify(WEAK, PASSWORD, subject=subject)
    assert verdicts.computed == 3

    await verdicts.verify(WEAK, PASSWORD, subject="alice")
    assert verdicts.computed == 3
    await verdicts.verify(WEAK, PASSWORD, subject="bob")
    assert verdicts.computed == 4


async def test_identical_questions_at_once_share_one_computation(verdicts: Counted) -> None:
    answers = await asyncio.gather(*(verdicts.verify(STORED, PASSWORD, subject="alice") for _ in range(10)))

    assert answers == [True] * 10
    assert verdicts.computed == 1


async def test_who_leaves_does_not_take_the_answer_of_the_others_along(verdicts: Counted) -> None:
    leaving = asyncio.create_task(verdicts.verify(STORED, PASSWORD, subject="alice"))
    staying = asyncio.create_task(verdicts.verify(STORED, PASSWORD, subject="alice"))
    await asyncio.sleep(0)
    leaving.cancel()

    assert await staying is True
    assert leaving.cancelled()
    assert verdicts.computed == 1


async def test_nothing_kept_in_memory_contains_the_password(verdicts: Counted) -> None:
    await verdicts.verify(STORED, PASSWORD, subject="alice")

    assert PASSWORD not in repr(vars(verdicts))
    assert repr(PASSWORD.encode())[2:-1] not in repr(vars(verdicts))
