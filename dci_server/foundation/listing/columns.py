# SPDX-License-Identifier: Apache-2.0
"""Which columns of a resource can be filtered and sorted on, and what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, LiteralString, TypeAlias

Kind: TypeAlias = Literal["text", "enum", "uuid", "array", "boolean", "integer", "timestamp", "json"]


@dataclass(frozen=True, slots=True)
class Column:
    """`secret` columns may be neither filtered nor sorted on (decision 21); `members` of an enum are in order."""

    sql: LiteralString
    kind: Kind
    secret: bool = False
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "enum" and not self.members:
            raise ValueError(f"the enum column {self.sql} needs its members")


Columns: TypeAlias = Mapping[str, Column]
"""By the name the API has for them."""


def valid_keys(columns: Columns) -> list[str]:
    """What an error tells the caller to choose from."""
    return sorted(name for name, column in columns.items() if not column.secret)
