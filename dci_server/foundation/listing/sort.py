# SPDX-License-Identifier: Apache-2.0
"""`?sort=name,-created_at`: the columns rows are ordered by (conventions §4.2)."""

from typing import LiteralString

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.columns import Columns, valid_keys
from dci_server.foundation.validation import cut


def read_sort(text: str, columns: Columns) -> LiteralString:
    """Rows that are equal in every key are ordered by `id` (decision 38), so that no page repeats a row."""
    terms: dict[str, LiteralString] = {}
    direction: LiteralString = ""
    for item in text.split(","):
        name = item.removeprefix("-")
        column = columns.get(name)
        if column is None or column.secret:
            raise ApiError(f'Invalid sort key: "{cut(name)}"', {"Valid sort keys": valid_keys(columns)})
        if column.kind == "json":
            raise ApiError(f"{name} holds JSON; rows can't be sorted on it")
        if name not in terms:  # a key that comes again orders nothing
            direction = " desc" if item.startswith("-") else ""
            terms[name] = column.sql + direction
    if "id" in columns and "id" not in terms:
        terms["id"] = columns["id"].sql + direction
    return ", ".join(terms.values())
