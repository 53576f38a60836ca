# SPDX-License-Identifier: Apache-2.0
from uuid import UUID

import pytest

from dci_server.foundation.errors import ApiError
from tests.foundation.listing.resource import filtered, listing, moment

TEAM = UUID("0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9")


@pytest.mark.parametrize(
    ("query", "sql", "values"),
    [
        ("eq(name,RHEL-9)", "jobs.name = ?::text", ["RHEL-9"]),
        ("ne(name,a)", "jobs.name <> ?::text", ["a"]),
        ("lt(name,a)", "jobs.name < ?::text", ["a"]),
        ("le(size,5)", "jobs.size <= ?::bigint", [5]),
        ("gt(created_at,2026-01-31 10:00:00)", "jobs.created_at > ?::timestamp", [moment("2026-01-31T10:00:00")]),
        ("ge(created_at,2026-01-31T10:00:00.5)", "jobs.created_at >= ?::timestamp", [moment("2026-01-31T10:00:00.500000")]),
        ("gt(created_at,epoch)", "jobs.created_at > ?::timestamp", [moment("1970-01-01T00:00:00")]),
        (f"eq(team_id,{str(TEAM).upper()})", "jobs.team_id = ?::uuid", [TEAM]),
        ("eq(public,yes)", "jobs.public = ?::boolean", [True]),
        ("eq(state,active)", "jobs.state::text = ?::text", ["active"]),
        ("ne(state,active)", "jobs.state::text <> ?::text", ["active"]),
        ("lt(state,active)", "jobs.state::text = any(?::text[])", [list[str]()]),
        ("lt(state,archived)", "jobs.state::text = any(?::text[])", [["active", "inactive"]]),
        ("le(state,inactive)", "jobs.state::text = any(?::text[])", [["active", "inactive"]]),
        ("gt(state,active)", "jobs.state::text = any(?::text[])", [["inactive", "archived"]]),
        ("ge(state,archived)", "jobs.state::text = any(?::text[])", [["archived"]]),
        ("like(name,RH%_)", "jobs.name like ?::text", ["RH%_"]),
        ("ilike(name,rh%)", "jobs.name ilike ?::text", ["rh%"]),
        ("contains(tags,a)", "jobs.tags @> ?::text[]", [["a"]]),
        ("not_contains(tags,a)", "(not jobs.tags @> ?::text[])", [["a"]]),
        ("null(url)", "(jobs.url is null or jobs.url = '')", []),
        ("not(eq(name,a))", "(not (jobs.name = ?::text))", ["a"]),
        ("and(eq(name,a),eq(url,b))", "(jobs.name = ?::text and jobs.url = ?::text)", ["a", "b"]),
        ("or(eq(name,a),eq(url,b))", "(jobs.name = ?::text or jobs.url = ?::text)", ["a", "b"]),
        ("or(eq(name,a))", "(jobs.name = ?::text)", ["a"]),
        ("eq(name,a),eq(url,b)", "jobs.name = ?::text and jobs.url = ?::text", ["a", "b"]),
        (
            "and(or(eq(name,a),and(eq(name,b),null(url))),eq(name,c)))",
            "((jobs.name = ?::text or (jobs.name = ?::text and (jobs.url is null or jobs.url = '')))"
            " and jobs.name = ?::text)",
            ["a", "b", "c"],
        ),
    ],
)  # fmt: skip
def test_each_operator_has_its_sql(query: str, sql: str, values: list[object]) -> None:
    assert filtered(query=query) == (sql, values)


def test_a_bare_list_stays_together_with_the_bounds() -> None:
    sql, _ = filtered(query="or(eq(name,a),eq(name,b)),null(url)", created_after="0")

    assert sql == (
        "(jobs.name = ?::text or jobs.name = ?::text) and (jobs.url is null or jobs.url = '')"
        " and jobs.created_at >= ?::timestamp"
    )


@pytest.mark.parametrize("name", ["foo", "NAME", "team", "data", "api_secret", "0"])
@pytest.mark.parametrize("query", ["eq({},a)", "like({},a%)", "not(null({}))"])
def test_what_is_no_column_or_a_secret_one_is_no_field(query: str, name: str) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(query=query.format(name))

    assert refusal.value.message == f"Invalid field: {name}"
    assert refusal.value.payload == {}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("eq(state,ACTIVE)", "state is one of active, inactive, archived; 'ACTIVE' is not"),
        ("gt(state,x)", "state is one of active, inactive, archived; 'x' is not"),
        ("eq(team_id,abc)", "team_id is a UUID; 'abc' is not"),
        ("eq(public,maybe)", "public is true or false; 'maybe' is neither"),
        ("lt(size,big)", "size is an integer of at most 64 bits; 'big' is not"),
        ("lt(created_at,noon)", "created_at is a time like 2026-01-31T10:00:00; 'noon' is not"),
        ("eq(tags,a)", "eq(tags…) is not possible: tags is a list"),
        ("eq(kinds,a)", "eq(kinds…) is not possible: kinds is JSON"),
        ("null(kinds)", "null(kinds…) is not possible: kinds is JSON"),
        ("null(team_id)", "null(team_id…) is not possible: team_id is a UUID"),
        ("null(state)", "null(state…) is not possible: state is one of a few words"),
        ("like(created_at,2026%)", "like(created_at…) is not possible: created_at is a time"),
        ("ilike(size,1%)", "ilike(size…) is not possible: size is an integer"),
        ("like(public,t%)", "like(public…) is not possible: public is true or false"),
        ("like(tags,a%)", "like(tags…) is not possible: tags is a list"),
        ("contains(name,a)", "contains(name…) is not possible: name is a text"),
        ("not_contains(kinds,a)", "not_contains(kinds…) is not possible: kinds is JSON"),
    ],
)
def test_what_a_column_cannot_do_is_refused(query: str, message: str) -> None:
    with pytest.raises(ApiError) as refusal:
        listing(query=query)

    assert refusal.value.message == message


def test_grammar_comes_before_names() -> None:
    with pytest.raises(ApiError, match=r"^error while parsing the query "):
        listing(query="and(eq(foo,1),")
