# SPDX-License-Identifier: Apache-2.0
"""Places in the SQL for what a client wrote: the values travel beside the text, never inside it."""

from collections.abc import Mapping
from typing import LiteralString

from dci_server.foundation.listing.columns import Kind

MOST_CONDITIONS = 500
"""In one `where` or `query`; each needs one place at most."""

_DIGITS: tuple[LiteralString, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
_NAMES: tuple[LiteralString, ...] = tuple(
    f"listing_{hundreds}{tens}{ones}" for hundreds in _DIGITS for tens in _DIGITS for ones in _DIGITS
)
_TYPES: Mapping[Kind, LiteralString] = {
    "text": "text",
    "enum": "text",
    "uuid": "uuid",
    "array": "text[]",
    "boolean": "boolean",
    "integer": "bigint",
    "timestamp": "timestamp",
}


class Placeholders:
    """Gives out a named place for each value of one listing, and keeps the values by name."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def place(self, value: object, kind: Kind) -> LiteralString:
        """The cast tells the driver how to send the value, whatever stands on the other side."""
        name = _NAMES[len(self.values)]
        self.values[name] = value
        return f"%({name})s::{_TYPES[kind]}"
