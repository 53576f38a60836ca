# SPDX-License-Identifier: Apache-2.0
"""What a client wrote, as the value its column holds: read here, so that the database never has to refuse it."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.columns import Kind
from dci_server.foundation.validation import shown

_UUID = re.compile(r"\{[0-9a-f]{4}(?:-?[0-9a-f]{4}){7}\}|[0-9a-f]{4}(?:-?[0-9a-f]{4}){7}", re.IGNORECASE)
_TRUE = {"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"}
_FALSE = {"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?) ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def read_value(name: str, kind: Kind, text: str) -> object:
    """Takes PostgreSQL's spellings (conventions §4.3, §4.4). Raises ApiError, naming the column and what it holds."""
    match kind:
        case "uuid":
            return _uuid(name, text.strip())
        case "boolean":
            return _boolean(name, text.strip())
        case "integer":
            return _integer(name, text.strip())
        case "timestamp":
            return _timestamp(name, text.strip())
        case _:
            return text


def read_moment(text: str) -> datetime | None:
    """UTC without a zone, as the database keeps it; None when it is no time."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return None
    date, time, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time or '00:00'}{zone or ''}")
        return moment.astimezone(UTC).replace(tzinfo=None) if zone else moment
    except (ValueError, OverflowError):
        return None


def _uuid(name: str, text: str) -> UUID:
    if not _UUID.fullmatch(text):
        raise ApiError(f"{name} is a UUID; {shown(text)} is not")
    return UUID(text)


def _boolean(name: str, text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ApiError(f"{name} is true or false; {shown(text)} is neither")
    return word in _TRUE


def _integer(name: str, text: str) -> int:
    number = int(text) if _INTEGER.fullmatch(text) else None
    if number is None or not _SMALLEST <= number <= _LARGEST:
        raise ApiError(f"{name} is an integer of at most 64 bits; {shown(text)} is not")
    return number


def _timestamp(name: str, text: str) -> datetime:
    moment = _word_for_a_moment(text.lower()) or read_moment(text)
    if moment is None:
        raise ApiError(f"{name} is a time like 2026-01-31T10:00:00; {shown(text)} is not")
    return moment


def _word_for_a_moment(word: str) -> datetime | None:
    now = datetime.now(UTC).replace(tzinfo=None)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "now": now,
        "today": today,
        "yesterday": today - timedelta(days=1),
        "tomorrow": today + timedelta(days=1),
        "epoch": EPOCH,
        "infinity": datetime.max,
        "-infinity": datetime.min,
    }.get(word)
