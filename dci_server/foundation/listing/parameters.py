# SPDX-License-Identifier: Apache-2.0
"""The list parameters, together: limit, offset, sort, where, query, created_after, updated_after (conventions §4)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

from dci_server.foundation.database.sql import EVERYTHING, Condition
from dci_server.foundation.errors import ApiError, Malformed
from dci_server.foundation.listing.columns import Columns
from dci_server.foundation.listing.placeholders import Placeholders
from dci_server.foundation.listing.query import read_query
from dci_server.foundation.listing.sort import read_sort
from dci_server.foundation.listing.values import EPOCH, read_moment
from dci_server.foundation.listing.where import is_key_value_csv, read_where
from dci_server.foundation.validation import cut, shown, unexpected

NAMES = ("limit", "offset", "sort", "where", "query", "embed", "created_after", "updated_after")
DEFAULT_LIMIT = 20
HIGHEST_LIMIT = 200

_HIGHEST_OFFSET = 2**63 - 1
_LIMIT = (re.compile(r"[1-9][0-9]*"), r"^[1-9]\d*$")
_OFFSET = (re.compile(r"[0-9]+"), r"^\d+$")
_MILLISECONDS = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows, in which order, and which page of them."""

    condition: Condition
    order_by: LiteralString
    limit: int
    offset: int

    @property
    def is_filtered(self) -> bool:
        """Whether `condition` narrows anything."""
        return self.condition.sql != EVERYTHING.sql


def read_listing(parameters: Sequence[tuple[str, str]], columns: Columns, default_sort: str = "-created_at") -> Listing:
    """Raises Malformed with every violation of shape, or ApiError for the first value that makes no sense."""
    given = _first_of_each(parameters)
    _require_shape(given)
    return Listing(
        condition=_condition(given, columns),
        order_by=read_sort(given.get("sort") or default_sort, columns),
        limit=_limit(given.get("limit", str(DEFAULT_LIMIT))),
        offset=_offset(given.get("offset", "0")),
    )


def _first_of_each(parameters: Sequence[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parameters:
        _require_unicode(name)
        _require_unicode(value)
        given.setdefault(name, value)
    return given


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ApiError("a parameter holds half of a surrogate pair; send UTF-8") from None


def _require_shape(given: Mapping[str, str]) -> None:
    errors: list[str] = []
    unknown = [name for name in given if name not in NAMES]
    if unknown:
        errors.append(unexpected(unknown))
    if "limit" in given and "offset" not in given:
        errors.append("'offset' is a required property")
    if "offset" in given and "limit" not in given:
        errors.append("'limit' is a required property")
    for name, (digits, pattern) in (("limit", _LIMIT), ("offset", _OFFSET)):
        value = given.get(name)
        if value is not None and not digits.fullmatch(value):
            errors.append(f"{name}: '{cut(value)}' {shown(value)} does not match {pattern!r}")
    if "where" in given and not is_key_value_csv(given["where"]):
        errors.append(f"where: {shown(given['where'])} is not a 'key value csv'")
    if errors:
        raise Malformed(errors)


def _limit(digits: str) -> int:
    return HIGHEST_LIMIT if len(digits) > len(str(HIGHEST_LIMIT)) else min(int(digits), HIGHEST_LIMIT)


def _offset(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(_HIGHEST_OFFSET)) or int(significant) > _HIGHEST_OFFSET:
        raise ApiError(f"offset is too large; it is at most {_HIGHEST_OFFSET}")
    return int(significant)


def _condition(given: Mapping[str, str], columns: Columns) -> Condition:
    placeholders = Placeholders()
    conditions: list[LiteralString] = []
    if "where" in given:
        conditions.append(read_where(given["where"], columns, placeholders))
    elif given.get("query"):
        conditions.append(read_query(given["query"], columns, placeholders))
    for bound, name in (("created_after", "created_at"), ("updated_after", "updated_at")):
        if bound in given:
            conditions.append(_not_before(bound, given[bound], name, columns, placeholders))
    if not conditions:
        return EVERYTHING
    return Condition(" and ".join(conditions), placeholders.values)


def _not_before(bound: str, text: str, name: str, columns: Columns, placeholders: Placeholders) -> LiteralString:
    """Every way to write a moment that clients have; existing servers ignored most of them (decision 36)."""
    column = columns.get(name)
    if column is None:
        raise ApiError(f"{bound} is not possible here: there is no {name}")
    moment = _moment(text.strip())
    if moment is None:
        raise ApiError(
            f"{bound} is a time like 2026-01-31T10:00:00.5, or milliseconds since 1970; {shown(text)} is not"
        )
    return f"{column.sql} >= {placeholders.place(moment, 'timestamp')}"


def _moment(text: str) -> datetime | None:
    if not _MILLISECONDS.fullmatch(text):
        return read_moment(text)
    try:
        return EPOCH + timedelta(milliseconds=int(text))
    except OverflowError:
        return None
