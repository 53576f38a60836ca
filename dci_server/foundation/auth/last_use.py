# SPDX-License-Identifier: Apache-2.0
"""When somebody was last seen: noted in the process, written about once a minute, never by the request itself."""

from datetime import UTC, datetime
from typing import Literal, LiteralString, TypeAlias
from uuid import UUID

from dci_server.foundation.database.connection import Connection, fetch_rows

Seen: TypeAlias = Literal["user", "remoteci", "feeder", "secret"]

_TABLES: dict[Seen, tuple[LiteralString, LiteralString]] = {
    "user": ("users", "last_auth_at"),
    "remoteci": ("remotecis", "last_auth_at"),
    "feeder": ("feeders", "last_auth_at"),
    "secret": ("client_secrets", "last_used_at"),
}


def _write(table: LiteralString, column: LiteralString) -> LiteralString:
    """Waits for nobody: a row that is being changed is left for the next time, and returned.

    The etag stays, and so does `updated_at`. Of several servers that saw the same caller in the same minute one writes.
    """
    due: LiteralString = (
        "(" + table + "." + column + " is null or " + table + "." + column + " < seen.at - interval '50 seconds')"
    )
    return (
        "with seen as (select * from unnest(%(ids)s::uuid[], %(times)s::timestamp[]) as seen (id, at)), due as ("
        "select " + table + ".id, seen.at from " + table + " join seen using (id) where " + due + "), free as ("
        "select " + table + ".id from " + table + " join due using (id) for no key update of " + table + " skip locked"
        "), written as (update " + table + " set " + column + " = due.at from due join free using (id) "
        "where " + table + ".id = due.id returning " + table + ".id) "
        "select id, at from due where id not in (select id from written)"
    )  # fmt: skip


_WRITES: dict[Seen, LiteralString] = {kind: _write(table, column) for kind, (table, column) in _TABLES.items()}


class LastUse:
    def __init__(self, db: Connection) -> None:
        self._db = db
        self._seen: dict[Seen, dict[UUID, datetime]] = {kind: {} for kind in _TABLES}

    def note(self, kind: Seen, identifier: UUID) -> None:
        self._seen[kind][identifier] = datetime.now(UTC)

    async def write(self) -> None:
        """What could not be written is kept for the next time."""
        for kind, sql in _WRITES.items():
            noted = self._seen[kind]
            if not noted:
                continue
            self._seen[kind] = {}
            times = {identifier: at.replace(tzinfo=None) for identifier, at in noted.items()}
            try:
                left = await fetch_rows(self._db, sql, ids=list(times), times=list(times.values()))
            except BaseException:
                self._seen[kind] = noted | self._seen[kind]
                raise
            for row in left:
                self._seen[kind].setdefault(row["id"], noted[row["id"]])
