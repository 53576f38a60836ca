# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.columns import Kind
from dci_server.foundation.listing.values import read_value
from tests.foundation.listing.resource import moment

ID = UUID("0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", " as it is ", " as it is "),
        *(
            ("uuid", spelling, ID)
            for spelling in (
                "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9",
                "0A1B2C3D-4E5F-4071-8293-A4B5C6D7E8F9",
                "0a1b2c3d4e5f40718293a4b5c6d7e8f9",
                "{0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9}",
                "0a1b-2c3d-4e5f-4071-8293-a4b5-c6d7-e8f9",
                "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9 ",
            )
        ),
        *(("boolean", word, True) for word in ("t", "TRUE", "tru", "y", "yes", "on", "1", " On ")),
        *(("boolean", word, False) for word in ("f", "False", "n", "no", "of", "off", "0")),
        ("integer", "12", 12),
        ("integer", " -007 ", -7),
        ("integer", "+5", 5),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("integer", "-9223372036854775808", -(2**63)),
        ("timestamp", "2026-01-31", moment("2026-01-31T00:00:00")),
        ("timestamp", "2026-01-31 10:00:00", moment("2026-01-31T10:00:00")),
        ("timestamp", "2026-01-31T10:00:00.5", moment("2026-01-31T10:00:00.500000")),
        ("timestamp", "2026-01-31T10:00:00+02:00", moment("2026-01-31T08:00:00")),
        ("timestamp", "epoch", moment("1970-01-01T00:00:00")),
        ("timestamp", "Infinity", datetime.max),
        ("timestamp", "-infinity", datetime.min),
    ],
)
def test_a_value_is_read_as_the_database_would(kind: Kind, text: str, value: object) -> None:
    found = read_value("column", kind, text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(
            ("uuid", text)
            for text in (
                "", "abc", "urn:uuid:0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9", "{0a1b2c3d4e5f40718293a4b5c6d7e8f9",
                "0x1b2c3d4e5f40718293a4b5c6d7e8f9", "0_1b2c3d4e5f40718293a4b5c6d7e8f9", "\u0660a1b2c3d4e5f40718293a4b5c6d7e8f9",
                "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9-", "0a1b2c3d4e5f40718293a4b5c6d7e8f",
            )
        ),
        *(("boolean", text) for text in ("", "o", "2", "truth", "yess", "null")),
        *(("integer", text) for text in ("", "1.5", "0x10", "1_000", "9223372036854775808", "9" * 5000, "\u0663", "--1")),
        *(("timestamp", text) for text in ("", "noon", "2026-13-01", "10:00", "12026-01-31", "2026-01-31T24:00:01")),
    ],
)  # fmt: skip
def test_an_unreadable_value_is_refused_by_name_and_kind(kind: Kind, text: str) -> None:
    with pytest.raises(ApiError, match=r"^column is .+; .+ (is not|is neither)$") as refusal:
        read_value("column", kind, text)

    assert len(refusal.value.message) < 300


@pytest.mark.parametrize(("word", "days"), [("today", 0), ("YESTERDAY", -1), ("tomorrow", 1)])
def test_words_for_days_are_midnights(word: str, days: int) -> None:
    found = read_value("column", "timestamp", word)

    assert isinstance(found, datetime)
    now = datetime.now(UTC).replace(tzinfo=None)
    assert (found.hour, found.minute, found.second, found.microsecond) == (0, 0, 0, 0)
    assert timedelta(0) <= now + timedelta(days=days) - found < timedelta(days=2)


def test_now_is_the_time_in_utc() -> None:
    before = datetime.now(UTC).replace(tzinfo=None)

    found = read_value("column", "timestamp", "now")

    assert isinstance(found, datetime)
    assert before <= found <= datetime.now(UTC).replace(tzinfo=None)
