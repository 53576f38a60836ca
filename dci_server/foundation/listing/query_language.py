# SPDX-License-Identifier: Apache-2.0
"""`?query=and(eq(name,x),not(null(url)))`: the grammar of conventions §4.4, read in one pass without recursion."""

import re
from dataclasses import dataclass, field

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.placeholders import MOST_CONDITIONS

DEEPEST = 100

_LOGICAL = ("and", "or", "not")
_PREDICATES = ("eq", "ne", "lt", "le", "gt", "ge", "like", "ilike", "contains", "not_contains", "null")
_NAMES = "|".join((*_PREDICATES, *_LOGICAL))

_BLANKS = r"[ \r\n]*"
_SKIPPED = re.compile(_BLANKS)
_OPERATOR = re.compile(rf"(?:{_NAMES})(?![A-Za-z0-9_])")
_FIELD = re.compile(r"[A-Za-z0-9_]+")
_VALUE = re.compile(r"[A-Za-z0-9_\- %.:/]+")
_OPENED = re.compile(r"\(")
_CLOSED = re.compile(r"\)")
_COMMA = re.compile(r",")
# quirk: `null(…)` follows another operand without a comma.
_NULL_FOLLOWS = rf"(?=null{_BLANKS}\()"
_NEXT_OPERAND = re.compile(rf",|{_NULL_FOLLOWS}")
_NEXT_AT_TOP = re.compile(rf",(?={_BLANKS}(?:{_NAMES}){_BLANKS}\()|{_NULL_FOLLOWS}")


@dataclass(frozen=True, slots=True)
class Predicate:
    """`eq(name,x)`; `null(url)` is the one without a value."""

    operator: str
    field: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """`and(…)`, `or(…)` or `not(…)`."""

    operator: str
    operands: "list[Predicate | Group]" = field(default_factory=list["Predicate | Group"])


def parse_query(text: str) -> Group:
    """The `and` of what stands at the top: a bare comma list is a conjunction (decision 37).

    quirk: what follows a complete query is ignored.
    """
    reader = _Reader(text.expandtabs())
    groups = [Group("and")]
    for _ in range(MOST_CONDITIONS):
        predicate = _read_operand(reader, groups)
        groups[-1].operands.append(predicate)
        _close_groups(reader, groups)
        if len(groups) == 1 and reader.takes(_NEXT_AT_TOP) is None:
            return groups[0]
    raise reader.refusal(f"at most {MOST_CONDITIONS} comparisons")


def _read_operand(reader: "_Reader", groups: list[Group]) -> Predicate:
    """The next predicate; the groups that open before it are added to the open ones."""
    while (operator := reader.take(_OPERATOR, "an operator such as eq or and")) in _LOGICAL:
        reader.take(_OPENED, "'('")
        if len(groups) > DEEPEST:
            raise reader.refusal(f"at most {DEEPEST} levels of and, or, not")
        group = Group(operator)
        groups[-1].operands.append(group)
        groups.append(group)
    reader.take(_OPENED, "'('")
    return _read_predicate(reader, operator)


def _read_predicate(reader: "_Reader", operator: str) -> Predicate:
    name = reader.take(_FIELD, "a field")
    if operator == "null":
        reader.take(_CLOSED, "')'")
        return Predicate(operator, name)
    reader.take(_COMMA, "','")
    value = reader.take(_VALUE, "a value of letters, digits, blanks and _-%.:/")
    reader.take(_CLOSED, "')'")
    return Predicate(operator, name, value)


def _close_groups(reader: "_Reader", groups: list[Group]) -> None:
    """Closes the groups that end here, up to one that goes on."""
    while len(groups) > 1:
        has_one_operand = groups[-1].operator == "not"
        if not has_one_operand and reader.takes(_NEXT_OPERAND) is not None:
            return
        reader.take(_CLOSED, "')'" if has_one_operand else "',' or ')'")
        groups.pop()


class _Reader:
    """A text and how far it is read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def takes(self, pattern: re.Pattern[str]) -> str | None:
        """None, and nothing but blanks read, when something else follows."""
        skipped = _SKIPPED.match(self._text, self._at)
        self._at = skipped.end() if skipped else self._at
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def take(self, pattern: re.Pattern[str], expected: str) -> str:
        found = self.takes(pattern)
        if found is None:
            raise self.refusal(expected)
        return found

    def refusal(self, expected: str) -> ApiError:
        before = self._text[: self._at]
        line = before.count("\n") + 1
        column = self._at - before.rfind("\n")
        follows = self._text[self._at : self._at + 10]
        found = repr(follows) if follows else "the end"
        return ApiError(
            f"error while parsing the query Expected {expected}, found {found}  "
            f"(at char {self._at}), (line:{line}, col:{column})"
        )
