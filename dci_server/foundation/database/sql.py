# SPDX-License-Identifier: Apache-2.0
"""SQL with named parameters: `%(name)s` in the text, values beside it, never inside it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import LiteralString
from uuid import UUID

_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on rows: SQL that only our own code can have written, and the values it names."""

    sql: LiteralString
    params: Mapping[str, object] = field(default_factory=dict[str, object])


EVERYTHING = Condition("true")
NOTHING = Condition("false")


def all_of(*conditions: Condition) -> Condition:
    """Both, or all, of them. Two conditions may share a parameter name only for the same value."""
    params: dict[str, object] = {}
    sql: LiteralString = "true"
    for condition in conditions:
        for name, value in condition.params.items():
            if params.setdefault(name, value) != value:
                raise ValueError(f"two values for the SQL parameter {name}")
        if condition.sql != "true":
            sql = condition.sql if sql == "true" else sql + " and " + condition.sql
    return Condition(sql, params)


def any_of(*conditions: Condition) -> Condition:
    """At least one of them."""
    params: dict[str, object] = {}
    sql: LiteralString = "false"
    for condition in conditions:
        for name, value in condition.params.items():
            if params.setdefault(name, value) != value:
                raise ValueError(f"two values for the SQL parameter {name}")
        sql = condition.sql if sql == "false" else sql + " or " + condition.sql
    return Condition("(" + sql + ")", params)


def is_one_of(column: LiteralString, name: LiteralString, ids: Sequence[UUID]) -> Condition:
    """A single id is compared for equality: then an index on the column also gives the rows that follow in order."""
    given: LiteralString = "%(" + name + ")s::uuid[]"
    sql: LiteralString = column + " = (" + given + ")[1]" if len(ids) == 1 else column + " = any(" + given + ")"
    return Condition(sql, {name: list(ids)})


@lru_cache(maxsize=4096)
def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${names.setdefault(match[1], len(names) + 1)}"

    return _PARAMETER.sub(number, sql), tuple(names)


def positional(sql: LiteralString, params: Mapping[str, object]) -> tuple[str, list[object]]:
    """The driver's form: `$1, $2…` and the values in that order. A name without a value is a KeyError."""
    text, names = _positional(sql)
    return text, [params[name] for name in names]
