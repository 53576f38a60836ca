# SPDX-License-Identifier: Apache-2.0
"""What the pages of cases are asked with. A page says where the next one begins; nobody counts rows that nobody reads."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import LiteralString, get_args

from dci_server.features.test_results.model import State, Status
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of
from dci_server.foundation.errors import ApiError
from dci_server.foundation.listing.values import read_moment
from dci_server.foundation.parameters import Given, Identifier, Parameter, WholeNumber, Words
from dci_server.foundation.validation import shown

LIMIT = WholeNumber("limit", "How many at most; 50 when it is not given.", 1, 200)
AFTER = Parameter("after", "Where the page begins: `_meta.next` of the page before.")
STATUS = Words("status", "Only these statuses, separated by commas.", get_args(Status))
STATE = Words("state", "Only these states, separated by commas; REMOVED has no case.", get_args(State))
NAME = Parameter("name", "Only cases whose name contains this, in any case.")
SUITE = Parameter("suite", "Only cases of the suites of this name.")
MINIMUM_TIME = Parameter("minimum_time", "Only cases that took this many seconds or more.")
TOPIC_ID = Identifier("topic_id", "Only runs on this topic.")
REMOTECI_ID = Identifier("remoteci_id", "Only runs of this remoteci.")
FROM = Parameter("from", "Only jobs created at this moment or later; thirty days before `to` when it is not given.")
TO = Parameter("to", "Only jobs created before this moment; now when it is not given.")

OF_CASES = (STATUS, STATE, NAME, SUITE, MINIMUM_TIME, LIMIT, AFTER)
OF_RUNS = (STATUS, STATE, TOPIC_ID, REMOTECI_ID, LIMIT, AFTER)
OF_FAILING_CASES = (FROM, TO, LIMIT, AFTER)

_USUAL_LIMIT = 50
_USUAL_DAYS = timedelta(days=30)
_MOST_DAYS = timedelta(days=366)
_CURSOR = re.compile(r"[0-9]{1,18}(?:\.[0-9a-f]{1,32}){1,2}")
_LENGTH_OF_KEY = 32
_LARGEST = 2**63 - 1
_LARGEST_POSITION = 2**31 - 1


def limit_of(given: Given) -> int:
    return LIMIT.read_number(given) or _USUAL_LIMIT


def cursor_of(given: Given, parts: int) -> tuple[str, ...] | None:
    """What an earlier page said; raises for anything else."""
    text = AFTER.read(given)
    if text is None:
        return None
    found = tuple(text.split("."))
    if not _CURSOR.fullmatch(text) or len(found) != parts:
        raise ApiError("after is what _meta.next of the page before says")
    return found


def numbers_of(given: Given, parts: int) -> list[int] | None:
    cursor = cursor_of(given, parts)
    if cursor is None:
        return None
    if not all(part.isdecimal() and int(part) <= _LARGEST for part in cursor) or int(cursor[-1]) > _LARGEST_POSITION:
        raise ApiError("after is what _meta.next of the page before says")
    return [int(part) for part in cursor]


def failures_of(cursor: Sequence[str]) -> tuple[int, str]:
    """How often, and which."""
    failures, key = cursor
    if not failures.isdecimal() or len(key) != _LENGTH_OF_KEY:
        raise ApiError("after is what _meta.next of the page before says")
    return int(failures), key


def cases_asked_for(given: Given) -> Condition:
    """On `cases`, `test_names` and `suites`."""
    conditions = [_status(given), _state(given)]
    name, suite, time = NAME.read(given), SUITE.read(given), MINIMUM_TIME.read(given)
    if name is not None:
        conditions.append(
            Condition("position(lower(%(name)s::text) in lower(test_names.name)) > 0", {"name": _text(name)})
        )
    if suite is not None:
        conditions.append(Condition("suites.name = %(suite)s::text", {"suite": _text(suite)}))
    if time is not None:
        conditions.append(Condition("cases.time >= %(minimum_time)s::float8", {"minimum_time": _seconds(time)}))
    return all_of(*conditions)


def runs_asked_for(given: Given) -> Condition:
    """On `cases` and `jobs`."""
    topic, remoteci = TOPIC_ID.read_id(given), REMOTECI_ID.read_id(given)
    conditions = [_status(given), _state(given)]
    if topic is not None:
        conditions.append(Condition("jobs.topic_id = %(topic_id)s::uuid", {"topic_id": topic}))
    if remoteci is not None:
        conditions.append(Condition("jobs.remoteci_id = %(remoteci_id)s::uuid", {"remoteci_id": remoteci}))
    return all_of(*conditions)


def range_asked_for(given: Given, now: datetime) -> tuple[datetime, datetime]:
    end = _moment(TO, given) or now
    begin = _moment(FROM, given) or max(end, datetime.min + _USUAL_DAYS) - _USUAL_DAYS
    if not timedelta(0) < end - begin <= _MOST_DAYS:
        raise ApiError(f"from is before to, and at most {_MOST_DAYS.days} days")
    return begin, end


_FAILURES = {"failure", "error"}
_FAILED: LiteralString = " and cases.status in ('failure', 'error')"
"""Says nothing new, but in the words of the indexes on failures."""


def _status(given: Given) -> Condition:
    words = STATUS.read_words(given)
    if words is None:
        return EVERYTHING
    sql: LiteralString = "cases.status = any(%(status)s::test_status[])"
    return Condition(sql + _FAILED if _FAILURES.issuperset(words) else sql, {"status": sorted(words)})


def _state(given: Given) -> Condition:
    words = STATE.read_words(given)
    if words is None:
        return EVERYTHING
    sql: LiteralString = "case_state(cases.previous_status, cases.status) = any(%(state)s::text[])"
    return Condition(sql + _FAILED if set(words) == {"REGRESSED"} else sql, {"state": sorted(words)})


def _text(text: str) -> str:
    """No name has a NUL, and PostgreSQL takes none."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", text):
        raise ApiError(f"minimum_time is a number of seconds; {shown(text)} is not")
    return float(text)


def _moment(parameter: Parameter, given: Given) -> datetime | None:
    text = parameter.read(given)
    if text is None:
        return None
    moment = read_moment(text)
    if moment is None:
        raise ApiError(f"{parameter.name}: {shown(text)} is not a moment; write 2026-11-15T10:20:30")
    return moment
