# SPDX-License-Identifier: Apache-2.0
import pytest

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.query_language import DEEPEST, Group, Predicate, parse_query

A, B, C = Predicate("eq", "a", "1"), Predicate("ne", "b", "2"), Predicate("null", "c")


@pytest.mark.parametrize(
    ("text", "operands"),
    [
        ("eq(a,1)", [A]),
        ("null(c)", [C]),
        ("and(eq(a,1),ne(b,2))", [Group("and", [A, B])]),
        ("or(eq(a,1))", [Group("or", [A])]),
        ("not(null(c))", [Group("not", [C])]),
        ("and(or(eq(a,1),ne(b,2)),not(null(c)))", [Group("and", [Group("or", [A, B]), Group("not", [C])])]),
        ("not(and(eq(a,1),null(c)))", [Group("not", [Group("and", [A, C])])]),
        ("\t and \n( eq ( a ,1)\r, ne(b, 2 \n) ) ", [Group("and", [A, Predicate("ne", "b", "2 ")])]),
        ("not_contains(a,1)", [Predicate("not_contains", "a", "1")]),
    ],
)
def test_operators_nest(text: str, operands: list[Predicate | Group]) -> None:
    assert parse_query(text).operands == operands


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("eq(a,https://github.com/org/repo/pull/63)", "https://github.com/org/repo/pull/63"),
        ("eq(a,RHEL-9.4_x %y)", "RHEL-9.4_x %y"),
        ("eq( a , foo )", "foo "),
        ("eq(a, foo \n)", "foo "),
        ("eq(a,x\ty)", "x  y"),
        ("eq(a,null)", "null"),
    ],
)
def test_a_value_drops_leading_blanks_and_keeps_the_others(text: str, value: str) -> None:
    (predicate,) = parse_query(text).operands

    assert predicate == Predicate("eq", "a", value)


@pytest.mark.parametrize(
    "text",
    [
        "eq(a,1),ne(b,2),null(c)",
        "eq(a,1) , ne(b,2) null(c)",
        "eq(a,1),ne(b,2)null(c)",
        "eq(a,1),ne(b,2),null (c),",
        "eq(a,1),ne(b,2),null(c),junk(",
        "eq(a,1),ne(b,2),null(c))eq(d,4)",
    ],
)
def test_all_of_a_bare_list_counts(text: str) -> None:
    assert parse_query(text).operands == [A, B, C]


def test_groups_may_stand_in_a_bare_list() -> None:
    assert parse_query("eq(a,1),or(ne(b,2),null(c)),not(eq(a,1))").operands == [
        A,
        Group("or", [B, C]),
        Group("not", [A]),
    ]


@pytest.mark.parametrize(
    "rest",
    [
        ")", ")))", " junk", ",", ",)", ", junk", ",eq", " null", "'", "eq(b,2)", "\0", " or (", ",NE(b,2)", ",unknown(b,2)"
    ],
)  # fmt: skip
def test_what_follows_a_complete_query_is_ignored(rest: str) -> None:
    assert parse_query("eq(a,1)" + rest).operands == [A]
    assert parse_query("or(eq(a,1),ne(b,2))" + rest).operands == [Group("or", [A, B])]


@pytest.mark.parametrize("text", ["and(eq(a,1)null(c))", "and(eq(a,1) \n null (c))", "and(eq(a,1),null(c))"])
def test_null_needs_no_comma(text: str) -> None:
    assert parse_query(text).operands == [Group("and", [A, C])]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (" ", "Expected an operator such as eq or and, found the end  (at char 1), (line:1, col:2)"),
        ("name:a", "Expected an operator such as eq or and, found 'name:a'  (at char 0), (line:1, col:1)"),
        ("EQ(a,1)", "Expected an operator such as eq or and, found 'EQ(a,1)'  (at char 0), (line:1, col:1)"),
        ("eqs(a,1)", "Expected an operator such as eq or and, found 'eqs(a,1)'  (at char 0), (line:1, col:1)"),
        ("eq", "Expected '(', found the end  (at char 2), (line:1, col:3)"),
        ("eq()", "Expected a field, found ')'  (at char 3), (line:1, col:4)"),
        ("eq(a)", "Expected ',', found ')'  (at char 4), (line:1, col:5)"),
        ("eq(a,)", "Expected a value of letters, digits, blanks and _-%.:/, found ')'  (at char 5), (line:1, col:6)"),
        ("eq(a, )", "Expected a value of letters, digits, blanks and _-%.:/, found ')'  (at char 6), (line:1, col:7)"),
        ("eq(a,1", "Expected ')', found the end  (at char 6), (line:1, col:7)"),
        ("eq(a,x+y)", "Expected ')', found '+y)'  (at char 6), (line:1, col:7)"),
        ("eq(a,é)", "Expected a value of letters, digits, blanks and _-%.:/, found 'é)'  (at char 5), (line:1, col:6)"),
        ("contains(a,b,c)", "Expected ')', found ',c)'  (at char 12), (line:1, col:13)"),
        ("null(a,b)", "Expected ')', found ',b)'  (at char 6), (line:1, col:7)"),
        ("null()", "Expected a field, found ')'  (at char 5), (line:1, col:6)"),
        ("and()", "Expected an operator such as eq or and, found ')'  (at char 4), (line:1, col:5)"),
        ("and(eq(a,1)", "Expected ',' or ')', found the end  (at char 11), (line:1, col:12)"),
        ("and(eq(a,1)eq(b,2))", "Expected ',' or ')', found 'eq(b,2))'  (at char 11), (line:1, col:12)"),
        ("and(eq(a,1),)", "Expected an operator such as eq or and, found ')'  (at char 12), (line:1, col:13)"),
        ("not(eq(a,1),eq(b,2))", "Expected ')', found ',eq(b,2))'  (at char 11), (line:1, col:12)"),
        ("not(eq(a,1)null(b))", "Expected ')', found 'null(b))'  (at char 11), (line:1, col:12)"),
        ("eq(a,1),eq(b", "Expected ',', found the end  (at char 12), (line:1, col:13)"),
        (
            "and(\neq(a,1),\n  foo)",
            "Expected an operator such as eq or and, found 'foo)'  (at char 16), (line:3, col:3)",
        ),
    ],
)
def test_a_parse_error_says_what_was_expected_and_where(text: str, rest: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_query(text)

    assert refusal.value.message == f"error while parsing the query {rest}"
    assert refusal.value.payload == {}


@pytest.mark.parametrize("character", [*"(\"'@+=*#?~&\\|<>!;^$[]{}`\0é\u0663\x0b\u00a0"])
def test_other_characters_cannot_be_part_of_a_value(character: str) -> None:
    with pytest.raises(ApiError, match=r"^error while parsing the query "):
        parse_query(f"eq(a,x{character}y)")


def nested(levels: int) -> str:
    return "not(" * levels + "eq(a,1)" + ")" * levels


def test_groups_nest_up_to_a_limit() -> None:
    assert parse_query(nested(DEEPEST)).operands

    with pytest.raises(ApiError, match=f"Expected at most {DEEPEST} levels of and, or, not"):
        parse_query(nested(DEEPEST + 1))


@pytest.mark.parametrize("text", ["{}", "and({})"])
@pytest.mark.parametrize("comparison", ["eq(a,1),", "null(a)"])
def test_comparisons_are_counted(text: str, comparison: str) -> None:
    assert parse_query(text.format(comparison * 499 + "null(a)")).operands

    with pytest.raises(ApiError, match="Expected at most 500 comparisons"):
        parse_query(text.format(comparison * 500 + "null(a)"))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "and(" * 100_000,
        nested(100_000),
        "and(eq(a,1)" + "," * 100_000,
        "and(eq(a,1)" + " " * 100_000,
        "eq(a," * 100_000,
        "eq(a," + "\t" * 100_000,
        "null(a)" * 100_000,
        "eq" * 100_000,
    ],
)
def test_an_absurd_query_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match=r"^error while parsing the query "):
        parse_query(text)
