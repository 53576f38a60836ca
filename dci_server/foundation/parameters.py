# SPDX-License-Identifier: Apache-2.0
"""The few query parameters that are not a listing's: declared once, for the code that reads them and for the document."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from dci_server.foundation.errors import ApiError
from dci_server.foundation.validation import shown

Given = Sequence[tuple[str, str]]

_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """Any text."""

    name: LiteralString
    text: LiteralString

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "string"}

    def read(self, given: Given) -> str | None:
        """The first one counts (conventions §4); None when it was not given."""
        return next((value for name, value in given if name == self.name), None)


@dataclass(frozen=True, slots=True)
class WholeNumber(Parameter):
    """Digits, within bounds that the refusal names."""

    least: int
    most: int

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def read_number(self, given: Given) -> int | None:
        text = self.read(given)
        if text is None:
            return None
        if not _DIGITS.fullmatch(text) or not self.least <= int(text) <= self.most:
            raise ApiError(f"{self.name} is a whole number from {self.least} to {self.most}; {shown(text)} is not")
        return int(text)


@dataclass(frozen=True, slots=True)
class Words(Parameter):
    """Some of a set of words, separated by commas."""

    among: Sequence[str]

    @property
    def schema(self) -> Mapping[str, object]:
        word = f" *({'|'.join(re.escape(each) for each in self.among)}) *"
        return {"type": "string", "pattern": f"^{word}(,{word})*$"}

    def read_words(self, given: Given) -> frozenset[str] | None:
        text = self.read(given)
        if text is None:
            return None
        words = [word.strip(" ") for word in text.split(",")]
        for word in words:
            if word not in self.among:
                raise ApiError(f"{self.name}: {shown(word)} is none; possible are {', '.join(self.among)}")
        return frozenset(words)


@dataclass(frozen=True, slots=True)
class Identifier(Parameter):
    """A UUID."""

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "string", "format": "uuid"}

    def read_id(self, given: Given) -> UUID | None:
        text = self.read(given)
        if text is None:
            return None
        try:
            return UUID(text)
        except ValueError:
            raise ApiError(f"{self.name} is a UUID; {shown(text)} is not") from None


def require_known(given: Given, known: Sequence[Parameter]) -> None:
    """Where a slip in a name must not pass for leaving it out."""
    names = [each.name for each in known]
    for name, _ in given:
        if name not in names:
            raise ApiError(f"{shown(name)} is no parameter here; possible are {', '.join(names)}")
