# SPDX-License-Identifier: Apache-2.0
"""`?where=column:value,column:value`: every condition holds (conventions §4.3)."""

import csv
from typing import LiteralString

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.columns import Column, Columns, valid_keys
from dci_server.foundation.listing.placeholders import MOST_CONDITIONS, Placeholders
from dci_server.foundation.listing.values import read_value
from dci_server.foundation.validation import cut

_LONGEST = 100_000  # below what the csv module takes as one field


def is_key_value_csv(text: str) -> bool:
    """Quotes don't matter here: each piece between commas needs its colon."""
    return all(":" in piece for piece in text.split(","))


def read_where(text: str, columns: Columns, placeholders: Placeholders) -> LiteralString:
    """SQL for a text that is a key value csv. Raises ApiError for an unknown key, or a value its column can't hold."""
    return " and ".join(_condition(item, columns, placeholders) for item in _items(text))


def _items(text: str) -> list[str]:
    trimmed = text.strip().replace("\n", "").replace("\t", "")
    if "\r" in trimmed or "\0" in trimmed:
        raise ApiError("where holds a carriage return or a NUL character; no stored value does")
    if len(trimmed) > _LONGEST:
        raise ApiError(f"where is longer than {_LONGEST} characters; shorten it")
    items = next(csv.reader([trimmed]))
    if len(items) > MOST_CONDITIONS:
        raise ApiError(f"where has more than {MOST_CONDITIONS} conditions; use fewer")
    return items


def _condition(item: str, columns: Columns, placeholders: Placeholders) -> LiteralString:
    name, _, value = item.partition(":")
    column = columns.get(name)
    if column is None:
        raise ApiError(f'Invalid where key: "{cut(item)}"', {"Valid where keys": valid_keys(columns)})
    if column.secret:
        raise ApiError(f'Invalid where key: "{name}"')
    if column.kind == "json":
        raise ApiError(f"{name} holds JSON; where can't compare it")
    if not value:
        return f"{column.sql} is null"
    return _equality(name, column, value, placeholders)


def _equality(name: str, column: Column, value: str, placeholders: Placeholders) -> LiteralString:
    match column.kind:
        case "text":
            return _same_text(column, value, placeholders)
        case "enum":
            return _same_member(column, value, placeholders)
        case "array":
            # Decision 35: `a|b` is a or b; two conditions on the same column are both.
            return f"{column.sql} && {placeholders.place(value.split('|'), 'array')}"
        case _:
            return f"{column.sql} = {placeholders.place(read_value(name, column.kind, value), column.kind)}"


def _same_text(column: Column, value: str, placeholders: Placeholders) -> LiteralString:
    if value.endswith("*") and value.count("*") == 1:
        # quirk: the star means "anywhere in it", not "begins with" (decision 34).
        pattern = f"%{_literally(value[:-1])}%"
        return f"lower({column.sql}) like lower({placeholders.place(pattern, 'text')})"
    return f"lower({column.sql}) = lower({placeholders.place(value, 'text')})"


def _literally(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _same_member(column: Column, value: str, placeholders: Placeholders) -> LiteralString:
    named = [member for member in column.members if member.lower() == value.lower()]
    if not named:
        return "false"
    return f"{column.sql}::text = {placeholders.place(named[0], 'enum')}"
