# SPDX-License-Identifier: Apache-2.0
from datetime import datetime

import pytest

from dci_server.foundation.errors import ApiError, Malformed
from dci_server.foundation.listing.parameters import read_listing
from tests.foundation.listing.resource import COLUMNS, filtered, listing, moment

LIMIT_TEXT = r"does not match '^[1-9]\\d*$'"
OFFSET_TEXT = r"does not match '^\\d+$'"


def test_no_parameters_list_the_newest_twenty_of_everything() -> None:
    whole = listing()

    assert (whole.limit, whole.offset) == (20, 0)
    assert whole.order_by == "jobs.created_at desc, jobs.id desc"
    assert whole.condition.sql == "true"
    assert not whole.is_filtered


@pytest.mark.parametrize(
    ("limit", "offset", "page"),
    [
        ("1", "0", (1, 0)),
        ("200", "007", (200, 7)),
        ("201", "0", (200, 0)),
        ("9" * 5000, "0" * 5000, (200, 0)),
        ("20", str(2**63 - 1), (20, 2**63 - 1)),
    ],
)
def test_a_page_holds_at_most_two_hundred_rows(limit: str, offset: str, page: tuple[int, int]) -> None:
    found = listing(limit=limit, offset=offset)

    assert (found.limit, found.offset) == page


@pytest.mark.parametrize("offset", [str(2**63), "9" * 5000])
def test_an_offset_the_database_cannot_count_to_is_refused(offset: str) -> None:
    with pytest.raises(ApiError, match=r"^offset is too large; it is at most 9223372036854775807$"):
        listing(limit="1", offset=offset)


@pytest.mark.parametrize(
    ("parameters", "errors"),
    [
        ({"limit": "20"}, ["'offset' is a required property"]),
        ({"offset": "20"}, ["'limit' is a required property"]),
        *(
            ({"limit": bad, "offset": "0"}, [f"limit: '{bad}' '{bad}' {LIMIT_TEXT}"])
            for bad in ("0", "-1", "abc", "01", "", "1.5", " 1", "\u0663")
        ),
        *(
            ({"limit": "1", "offset": bad}, [f"offset: '{bad}' '{bad}' {OFFSET_TEXT}"])
            for bad in ("-1", "abc", "", "1.5", "+1")
        ),
        ({"limit": "it's", "offset": "0"}, [f"limit: 'it's' \"it's\" {LIMIT_TEXT}"]),
        ({"limit": "1\n", "offset": "0"}, [f"limit: '1\n' '1\\n' {LIMIT_TEXT}"]),
        ({"foo": "1"}, ["Additional properties are not allowed ('foo' was unexpected)"]),
        ({"zip": "", "foo": ""}, ["Additional properties are not allowed ('zip', 'foo' were unexpected)"]),
        ({"where": ""}, ["where: '' is not a 'key value csv'"]),
        ({"where": "name"}, ["where: 'name' is not a 'key value csv'"]),
        ({"where": "name:a,b"}, ["where: 'name:a,b' is not a 'key value csv'"]),
        ({"where": "name:a,"}, ["where: 'name:a,' is not a 'key value csv'"]),
        ({"where": "it's"}, ["where: \"it's\" is not a 'key value csv'"]),
        (
            {"limit": "0", "where": "x"},
            [
                f"limit: '0' '0' {LIMIT_TEXT}",
                "'offset' is a required property",
                "where: 'x' is not a 'key value csv'",
            ],
        ),
    ],
)
def test_every_violation_of_shape_is_told_at_once(parameters: dict[str, str], errors: list[str]) -> None:
    with pytest.raises(Malformed) as refusal:
        listing(**parameters)

    assert refusal.value.message == "Request malformed"
    assert refusal.value.payload == {"error": errors[0], "errors": errors}


def test_the_first_of_a_repeated_parameter_counts() -> None:
    parameters = [("limit", "3"), ("offset", "0"), ("limit", "bad"), ("sort", "name"), ("sort", "nothing")]

    found = read_listing(parameters, COLUMNS)

    assert (found.limit, found.order_by) == (3, "jobs.name, jobs.id")


def test_embed_is_tolerated() -> None:
    assert listing(embed="topic,\0nonsense") == listing()


def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands() -> None:
    for parameters in ([("where", "name:\ud800")], [("embed", "\udfff")], [("\ud800", "x")]):
        with pytest.raises(ApiError, match="send UTF-8"):
            read_listing(parameters, COLUMNS)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("2026-01-31T10:11:12.5", moment("2026-01-31T10:11:12.500000")),
        ("2026-01-31T10:11:12.123456", moment("2026-01-31T10:11:12.123456")),
        ("2026-01-31T10:11:12", moment("2026-01-31T10:11:12")),
        ("2026-01-31 10:11", moment("2026-01-31T10:11:00")),
        ("2026-01-31T10:11:12Z", moment("2026-01-31T10:11:12")),
        ("2026-01-31T10:11:12.5+02:00", moment("2026-01-31T08:11:12.500000")),
        ("2026-01-31T10:11:12-0230", moment("2026-01-31T12:41:12")),
        ("2026-01-31 10:11:12 +01", moment("2026-01-31T09:11:12")),
        ("2026-01-31", moment("2026-01-31T00:00:00")),
        (" 2026-01-31 ", moment("2026-01-31T00:00:00")),
        ("0", moment("1970-01-01T00:00:00")),
        ("1769853600123", moment("2026-01-31T10:00:00.123000")),
        ("-1", moment("1969-12-31T23:59:59.999000")),
    ],
)
def test_created_after_takes_every_way_to_write_a_moment(text: str, bound: datetime) -> None:
    assert filtered(created_after=text) == ("jobs.created_at >= ?::timestamp", [bound])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "infinity",
        "2026-01-31T",
        "2026-01-31T10",
        "2026-01-31T10:11.5",
        "2026-01-31T10:11:12.1234567",
        "2026-01-31T10:11:12,5",
        "2026-02-30",
        "2026-01-31T25:00:00",
        "2026-01-31T10:11:12+99:00",
        "0000-01-01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "20260131T101112",
        "2026-W05-6",
        "9" * 15,
        "9" * 5000,
        "1.5",
        "2026-01-31\0",
        "202\u0666-01-31",
    ],
)
def test_what_is_no_moment_is_refused_not_ignored(text: str) -> None:
    with pytest.raises(ApiError, match=r"^updated_after is a time like 2026-01-31T10:00:00\.5, or milliseconds"):
        listing(updated_after=text)


def test_a_bound_on_a_column_that_is_not_there_is_refused() -> None:
    without = {name: column for name, column in COLUMNS.items() if name != "updated_at"}

    with pytest.raises(ApiError, match=r"^updated_after is not possible here: there is no updated_at$"):
        read_listing([("updated_after", "2026-01-31")], without)


def test_all_filters_hold_together_and_each_value_has_its_own_name() -> None:
    found = listing(where="name:a,name:b", created_after="1", updated_after="2")

    assert found.is_filtered
    assert found.condition.sql == (
        "lower(jobs.name) = lower(%(listing_000)s::text) and lower(jobs.name) = lower(%(listing_001)s::text)"
        " and jobs.created_at >= %(listing_002)s::timestamp and jobs.updated_at >= %(listing_003)s::timestamp"
    )
    assert list(found.condition.params) == ["listing_000", "listing_001", "listing_002", "listing_003"]


def test_where_beats_query() -> None:
    assert filtered(where="name:a", query="garbage((") == ("lower(jobs.name) = lower(?::text)", ["a"])


def test_an_empty_query_is_no_filter() -> None:
    assert not listing(query="").is_filtered


@pytest.mark.parametrize(
    "parameters",
    [
        {"where": "x" * 120_000},
        {"where": "x" * 90_000 + ":y"},
        {"sort": "x" * 120_000},
        {"limit": "1" + "x" * 120_000, "offset": "0"},
        {"limit": "1", "offset": "x" * 120_000},
        {"query": f"eq({'x' * 9_000},y)"},
        {"query": f"eq(name,{'x' * 9_000}"},
        {"created_after": "x" * 120_000},
        {"x" * 120_000: "1"},
        {f"unheard_of_{number}": "1" for number in range(5_000)},
    ],
    ids=lambda parameters: ",".join(name[:20] for name in list(parameters)[:2]),
)
def test_what_is_refused_is_repeated_in_part(parameters: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        listing(**parameters)

    assert len(refused.value.message) + len(str(refused.value.payload.get("errors", ""))) < 2_000
