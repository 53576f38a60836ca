# SPDX-License-Identifier: Apache-2.0
"""What `?query=…` means: its operators as SQL, with SQL's three-valued logic (conventions §4.4)."""

from collections.abc import Mapping
from typing import LiteralString

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.columns import Column, Columns, Kind
from dci_server.foundation.listing.placeholders import Placeholders
from dci_server.foundation.listing.query_language import Group, Predicate, parse_query
from dci_server.foundation.listing.values import read_value
from dci_server.foundation.validation import cut, shown

_COMPARISONS: Mapping[str, LiteralString] = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXT_ONLY = ("like", "ilike", "null")
_LISTS_ONLY = ("contains", "not_contains")
_KINDS: Mapping[Kind, str] = {
    "text": "a text",
    "enum": "one of a few words",
    "uuid": "a UUID",
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "timestamp": "a time",
    "json": "JSON",
}


def read_query(text: str, columns: Columns, placeholders: Placeholders) -> LiteralString:
    """Raises ApiError where the text breaks the grammar, names no field, or gives a value its field can't hold."""
    group = parse_query(text)
    return " and ".join(_operands(group, columns, placeholders))


def _operands(group: Group, columns: Columns, placeholders: Placeholders) -> list[LiteralString]:
    return [
        _group(operand, columns, placeholders)
        if isinstance(operand, Group)
        else _predicate(operand, columns, placeholders)
        for operand in group.operands
    ]


def _group(group: Group, columns: Columns, placeholders: Placeholders) -> LiteralString:
    """Recursive, no deeper than the grammar lets groups nest."""
    operands = _operands(group, columns, placeholders)
    if group.operator == "not":
        return f"(not ({operands[0]}))"
    joined = " or ".join(operands) if group.operator == "or" else " and ".join(operands)
    return f"({joined})"


def _predicate(predicate: Predicate, columns: Columns, placeholders: Placeholders) -> LiteralString:
    column = columns.get(predicate.field)
    if column is None or column.secret:
        raise ApiError(f"Invalid field: {cut(predicate.field)}")
    _require_possible(predicate, column)
    match predicate.operator:
        case "null":
            return f"({column.sql} is null or {column.sql} = '')"
        case "like":
            return f"{column.sql} like {placeholders.place(predicate.value, 'text')}"
        case "ilike":
            return f"{column.sql} ilike {placeholders.place(predicate.value, 'text')}"
        case "contains":
            return f"{column.sql} @> {placeholders.place([predicate.value], 'array')}"
        case "not_contains":
            return f"(not {column.sql} @> {placeholders.place([predicate.value], 'array')})"
        case _ if column.kind == "enum":
            return _compare_member(predicate, column, placeholders)
        case _:
            value = read_value(predicate.field, column.kind, predicate.value)
            return f"{column.sql} {_COMPARISONS[predicate.operator]} {placeholders.place(value, column.kind)}"


def _require_possible(predicate: Predicate, column: Column) -> None:
    if predicate.operator in _TEXT_ONLY:
        is_possible = column.kind == "text"
    elif predicate.operator in _LISTS_ONLY:
        is_possible = column.kind == "array"
    else:
        is_possible = column.kind not in ("array", "json")
    if not is_possible:
        name = predicate.field
        raise ApiError(f"{predicate.operator}({name}…) is not possible: {name} is {_KINDS[column.kind]}")


def _compare_member(predicate: Predicate, column: Column, placeholders: Placeholders) -> LiteralString:
    """Members are ordered as they are declared, however they are stored."""
    members, operator, value = column.members, predicate.operator, predicate.value
    if value not in members:
        raise ApiError(f"{predicate.field} is one of {', '.join(members)}; {shown(value)} is not")
    if operator in ("eq", "ne"):
        return f"{column.sql}::text {_COMPARISONS[operator]} {placeholders.place(value, 'enum')}"
    at = members.index(value)
    chosen = {"lt": members[:at], "le": members[: at + 1], "gt": members[at + 1 :], "ge": members[at:]}[operator]
    return f"{column.sql}::text = any({placeholders.place(list(chosen), 'array')})"
