# SPDX-License-Identifier: Apache-2.0
"""PUT and DELETE of one row: etag, permission and write are one statement, so of two writers one wins (P2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw

from dci_server.foundation.database.connection import Connection, Json, fetch_row
from dci_server.foundation.database.sql import EVERYTHING, Condition
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound

ARCHIVE: LiteralString = "state = 'archived'"
"""What DELETE assigns."""


@dataclass(frozen=True, slots=True)
class Change:
    """What spoke for and against a write, and the row as it is now when nothing spoke against it."""

    is_known: bool
    etag_matches: bool
    is_allowed: bool
    row: bytes | None
    is_possible: bool = True

    def require(self, resource: str, *, stale: ApiError | None = None, impossible: ApiError | None = None) -> Json[Any]:
        """404 for what is unknown, then 401, then `stale`; without it a stale etag is a 404 too (conventions §5).

        `impossible` says why what was wanted of the row can't be, whoever wants it.
        """
        if not self.is_known or (stale is None and not self.etag_matches):
            raise NotFound(resource)
        if not self.is_allowed:
            raise NotAuthorized
        if self.etag_matches and not self.is_possible and impossible is not None:
            raise impossible
        if self.row is None:
            # The etag did not match, or no longer did when it was this writer's turn.
            raise stale or NotFound(resource)
        return Json(self.row)


@dataclass(frozen=True, slots=True)
class Assignments:
    """The part of an update between `set` and `where`, and its values."""

    sql: Sequence[LiteralString]
    params: Mapping[str, object]


def assignments(changes: msgspec.Struct, columns: Mapping[str, LiteralString]) -> Assignments:
    """Of the fields that were given; `columns` says by field what is assigned: `name = %(name)s::text`."""
    given = {name: getattr(changes, name) for name in columns if getattr(changes, name) is not UNSET}
    values = {name: bytes(value) if isinstance(value, Raw) else value for name, value in given.items()}
    return Assignments([columns[name] for name in given], values)


async def change_row(
    db: Connection,
    table: LiteralString,
    columns: LiteralString,
    row_id: UUID,
    etag: str,
    changed: Assignments,
    *,
    allowed: Condition = EVERYTHING,
    possible: Condition = EVERYTHING,
    effects: LiteralString = "",
    archived_too: bool = False,
    params: Mapping[str, object] | None = None,
) -> Change:
    """`columns` are those of the answer. `effects` are further CTEs (`, name as (…)`) that follow from `changed`.

    `allowed` and `possible` are conditions on the row as it was: whether this caller may, whether anybody can.
    An archived row is unknown unless `archived_too`.
    """
    alive: LiteralString = "true" if archived_too else table + ".state <> 'archived'"
    new_values: LiteralString = ", ".join(["etag = new_etag()", "updated_at = utc_now()", *changed.sql])
    row = await fetch_row(
        db,
        "with target as (select " + table + ".etag, (" + allowed.sql + ") as is_allowed,"
        + " (" + possible.sql + ") as is_possible from " + table + " where " + table + ".id = %(row_id)s::uuid and " + alive
        + "), changed as (update " + table + " set " + new_values
        + " where " + table + ".id = %(row_id)s::uuid and " + table + ".etag = %(etag)s::text and " + alive
        + " and (" + allowed.sql + ") and (" + possible.sql + ") returning *)" + effects
        + " select exists (select from target) as is_known,"
        + " coalesce((select etag = %(etag)s::text from target), false) as etag_matches,"
        + " coalesce((select is_allowed from target), false) as is_allowed,"
        + " coalesce((select is_possible from target), false) as is_possible,"
        + " (select row_to_json(answer) from (select " + columns + " from changed as " + table + ") as answer) as row",
        row_id=row_id,
        etag=etag,
        **changed.params,
        **allowed.params,
        **possible.params,
        **(params or {}),
    )  # fmt: skip
    assert row is not None
    return Change(row["is_known"], row["etag_matches"], row["is_allowed"], row["row"], row["is_possible"])
