# SPDX-License-Identifier: Apache-2.0
"""Ids that begin with the time: those the server makes, and those the database makes."""

from uuid import UUID

from dci_server.foundation.identifiers import id_of_moment, new_id
from tests.conftest import World

_A_DAY_OF_2026 = 1_780_000_000_123_456_789


def test_an_id_made_later_sorts_later() -> None:
    moments = [_A_DAY_OF_2026, _A_DAY_OF_2026 + 250, _A_DAY_OF_2026 + 1_000_000, 2 * _A_DAY_OF_2026]

    made = [id_of_moment(moment) for moment in moments]

    assert made == sorted(made)


def test_an_id_is_a_uuid_of_version_7_that_holds_its_millisecond() -> None:
    made = id_of_moment(_A_DAY_OF_2026)

    assert (made.version, made.variant) == (7, UUID(int=2 << 62).variant)
    assert made.int >> 80 == _A_DAY_OF_2026 // 1_000_000


def test_two_ids_of_one_moment_differ() -> None:
    assert id_of_moment(_A_DAY_OF_2026) != id_of_moment(_A_DAY_OF_2026)
    assert new_id() != new_id()


async def test_the_database_makes_such_ids_too(world: World) -> None:
    row = await world.db.fetchrow(
        """select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as before, new_id() as made,
                  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as after"""
    )

    assert row is not None
    assert row["made"].version == 7
    assert row["before"] <= row["made"].int >> 80 <= row["after"]
