# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent, the answer is a listing or a refusal of ours."""

from collections.abc import Sequence

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from dci_server.foundation.database.sql import positional
from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.parameters import NAMES, read_listing
from tests.foundation.listing.resource import COLUMNS, OPEN_NAMES

ANY_TEXT = st.text(st.characters(), max_size=60)
MOMENTS = st.datetimes().map(str) | st.sampled_from(["2026-01-31", "now", "-infinity", "1769853600000", "never"])
VALUES = {
    "id": st.uuids().map(str),
    "name": ANY_TEXT | st.sampled_from(["", "a*", "%_\\*", "a b "]),
    "url": st.sampled_from(["", "https://example.org/1", "x%"]),
    "state": st.sampled_from(["active", "Inactive", "gone"]),
    "tags": st.sampled_from(["a", "a|b", "|", ""]),
    "public": st.sampled_from(["t", "no", "ON", "o"]),
    "size": st.integers(-(2**64), 2**64).map(str),
    "created_at": MOMENTS,
    "foo": ANY_TEXT,
}
OPERATORS = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge", "like", "ilike", "contains", "not_contains"])
LOGICAL = st.sampled_from(["and", "or", "not"])


def _condition(parts: tuple[str, str]) -> str:
    return ":".join(parts)


def _predicate(parts: tuple[str, tuple[str, str]]) -> str:
    operator, (name, value) = parts
    return f"{operator}({name},{value})"


def _group(parts: tuple[str, list[str]]) -> str:
    operator, operands = parts
    return f"{operator}({','.join(operands)})"


CONDITIONS = st.one_of([st.tuples(st.just(name), values) for name, values in VALUES.items()])
PREDICATES = st.tuples(OPERATORS, CONDITIONS).map(_predicate) | st.sampled_from(["null(name)", "null(url)"])
PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "where": st.lists(CONDITIONS.map(_condition), min_size=1, max_size=3).map(",".join),
        "query": st.recursive(
            PREDICATES,
            lambda operands: st.tuples(LOGICAL, st.lists(operands, min_size=1, max_size=2)).map(_group),
            max_leaves=4,
        ),
        "sort": st.lists(st.sampled_from([*OPEN_NAMES, "-name", "-id"]), max_size=3).map(",".join),
        "created_after": MOMENTS,
        "updated_after": MOMENTS,
    },
)


@given(st.lists(st.tuples(st.sampled_from(NAMES) | ANY_TEXT, ANY_TEXT), max_size=3))
@example([("where", '"name:a\n\n"",:b')])
@example([("where", ":" * 200_000)])
@example([("query", "and(" * 2000)])
@example([("limit", "9" * 5000), ("offset", "9" * 5000)])
@example([("created_after", "-" + "9" * 5000)])
def test_any_text_is_a_listing_or_a_refusal(parameters: list[tuple[str, str]]) -> None:
    _require_listing_or_refusal(parameters)


@given(PLAUSIBLE)
def test_what_looks_right_is_a_listing_or_a_refusal(parameters: dict[str, str]) -> None:
    _require_listing_or_refusal(list(parameters.items()))


def _require_listing_or_refusal(parameters: Sequence[tuple[str, str]]) -> None:
    try:
        found = read_listing(parameters, COLUMNS)
    except ApiError as refusal:
        msgspec.json.encode([refusal.message, refusal.payload])  # must be possible too
        return

    text, values = positional(found.condition.sql, found.condition.params)
    assert len(values) == len(found.condition.params)
    assert text.isascii()
    assert found.order_by.startswith("jobs.")
    assert 1 <= found.limit <= 200
    assert 0 <= found.offset < 2**63


@given(ANY_TEXT)
def test_no_value_reaches_the_text(value: str) -> None:
    for parameter, template in (("where", "name:{}"), ("query", "or(eq(name,{0}),like(url,{0}))")):
        try:
            found = read_listing([(parameter, template.format("sentinel" + value))], COLUMNS)
        except ApiError:
            continue

        assert "sentinel" not in found.condition.sql
        assert any("sentinel" in str(kept) for kept in found.condition.params.values())
