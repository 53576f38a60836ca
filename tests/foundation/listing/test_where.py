# SPDX-License-Identifier: Apache-2.0
from uuid import UUID

import pytest

from dci_server.foundation.errors import ApiError
from tests.foundation.listing.resource import OPEN_NAMES, filtered, listing, moment

TEAM = UUID("0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9")
SAME_NAME = "lower(jobs.name) = lower(?::text)"
IN_NAME = "lower(jobs.name) like lower(?::text)"


@pytest.mark.parametrize(
    ("where", "sql", "values"),
    [
        ("name:RHEL", SAME_NAME, ["RHEL"]),
        ("name:a:b:c", SAME_NAME, ["a:b:c"]),
        ("name: a", SAME_NAME, [" a"]),
        ("name:RH*", IN_NAME, ["%RH%"]),
        ("name:*", IN_NAME, ["%%"]),
        (r"name:50%_\*", IN_NAME, [r"%50\%\_\\%"]),
        ("name:*a*", SAME_NAME, ["*a*"]),
        ("name:a**", SAME_NAME, ["a**"]),
        ("name:*a", SAME_NAME, ["*a"]),
        ("name:50%", SAME_NAME, ["50%"]),
        ("name:", "jobs.name is null", []),
        ("team_id:", "jobs.team_id is null", []),
        ("tags:", "jobs.tags is null", []),
        ("state:active", "jobs.state::text = ?::text", ["active"]),
        ("state:ACTIVE", "jobs.state::text = ?::text", ["active"]),
        ("state:unknown", "false", []),
        ("state:act*", "false", []),
        ("tags:build:ga", "jobs.tags && ?::text[]", [["build:ga"]]),
        ("tags:a|b", "jobs.tags && ?::text[]", [["a", "b"]]),
        ("tags:a,tags:b", "jobs.tags && ?::text[] and jobs.tags && ?::text[]", [["a"], ["b"]]),
        ("tags:a*", "jobs.tags && ?::text[]", [["a*"]]),
        (f"team_id:{TEAM}", "jobs.team_id = ?::uuid", [TEAM]),
        ("public:yes", "jobs.public = ?::boolean", [True]),
        ("size:12", "jobs.size = ?::bigint", [12]),
        ("created_at:2026-01-31T10:00:00", "jobs.created_at = ?::timestamp", [moment("2026-01-31T10:00:00")]),
        ("name:a,state:active", f"{SAME_NAME} and jobs.state::text = ?::text", ["a", "active"]),
        ("name:a,name:b", f"{SAME_NAME} and {SAME_NAME}", ["a", "b"]),
    ],
)
def test_each_kind_of_column_is_compared_in_its_way(where: str, sql: str, values: list[object]) -> None:
    assert filtered(where=where) == (sql, values)


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ('"name:a,b:c"', ["a,b:c"]),
        ('"name:a,b:c",name:d', ["a,b:c", "d"]),
        ('"name:say ""hi"""', ['say "hi"']),
        ('"name:a', ["a"]),
        ('"name:a"b', ["ab"]),
        ('name:"x"', ['"x"']),
        ('name:"a,name:b"', ['"a', 'b"']),
        (" \n name:a \r\n", ["a"]),
        ("na\nme:a\tb", ["ab"]),
        ("name:a\x0bb", ["a\x0bb"]),
        ("name:é😀", ["é😀"]),
    ],
)
def test_items_are_read_as_one_csv_record(where: str, values: list[object]) -> None:
    _, found = filtered(where=where)

    assert found == values


@pytest.mark.parametrize("item", ["foo:a", "Name:a", " name:a", ":a", "team:a", "password:a", "jobs.name:a"])
def test_an_unknown_key_is_told_with_its_value(item: str) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(where=f"state:active,{item}")

    assert refusal.value.message == f'Invalid where key: "{item}"'
    assert refusal.value.payload == {"Valid where keys": OPEN_NAMES}


@pytest.mark.parametrize("name", ["api_secret", "data"])
@pytest.mark.parametrize("value", ["", "x", "x*"])
def test_a_secret_column_is_no_key(name: str, value: str) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(where=f"{name}:{value}")

    assert refusal.value.message == f'Invalid where key: "{name}"'
    assert refusal.value.payload == {}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("team_id:abc", "team_id is a UUID; 'abc' is not"),
        ("public:maybe", "public is true or false; 'maybe' is neither"),
        ("size:big", "size is an integer of at most 64 bits; 'big' is not"),
        ("created_at:later", "created_at is a time like 2026-01-31T10:00:00; 'later' is not"),
        ("kinds:a", "kinds holds JSON; where can't compare it"),
        ("kinds:", "kinds holds JSON; where can't compare it"),
        ("name:a\rb", "where holds a carriage return or a NUL character; no stored value does"),
        ("name:a\0", "where holds a carriage return or a NUL character; no stored value does"),
        ("name:" + "a" * 100_000, "where is longer than 100000 characters; shorten it"),
        ("name:a," * 500 + "name:a", "where has more than 500 conditions; use fewer"),
    ],
)
def test_a_value_that_cannot_be_compared_is_refused(where: str, message: str) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(where=where)

    assert refusal.value.message == message


def test_five_hundred_conditions_are_possible() -> None:
    found = listing(where=",".join(["name:a"] * 500), created_after="1", updated_after="1")

    assert len(found.condition.params) == 502
