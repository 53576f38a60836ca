# SPDX-License-Identifier: Apache-2.0
"""What was archived can be listed and deleted for good, by super admins (conventions §13)."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, LiteralString

import asyncpg

from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.database.connection import Json, execute, fetch_value
from dci_server.foundation.errors import Conflict, Unavailable
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, get, page, post
from dci_server.foundation.storage.removal import remove_due

Step = Callable[[Call], Awaitable[None]]


async def _nothing_more(call: Call) -> None:
    """For rows that nothing outside the database hangs on."""


async def remove_objects(call: Call) -> None:
    """What the deleted rows held in the store; what can't be removed now is tried again in the background."""
    with suppress(Unavailable):
        await remove_due(call.db, call.services.store)


def purge_routes(
    plural: LiteralString,
    columns: LiteralString,
    answer: type[Any],
    *,
    before: Step = _nothing_more,
    after: Step = _nothing_more,
) -> list[Route]:
    """`GET` and `POST /<plural>/purge`; `before` and `after` give back what the rows hold outside the database."""

    async def list_archived(call: Call) -> Response:
        """What a purge would delete."""
        SUPER_ADMINS.require(call.caller)
        return page(Json[Any](await fetch_value(call.db, _list(plural, columns))))

    async def purge(call: Call) -> Response:
        """Deletes what is archived, for good, with all that depends on it; nothing when something still refers to it."""
        SUPER_ADMINS.require(call.caller)
        await before(call)
        try:
            await execute(call.db, "delete from " + plural + " where state = 'archived'")
        except asyncpg.ForeignKeyViolationError as error:
            raise Conflict(_still_used(plural, error.table_name)) from error
        await after(call)
        return NO_CONTENT

    return [
        get("/" + plural + "/purge", list_archived, answer, who=SUPER_ADMINS),
        post("/" + plural + "/purge", purge, None, None, who=SUPER_ADMINS, status=204),
    ]


def _list(plural: LiteralString, columns: LiteralString) -> LiteralString:
    return (
        "select json_build_object('" + plural + "', coalesce(json_agg(row_to_json(archived)), '[]'::json),"
        " '_meta', json_build_object('count', count(*))) from (select " + columns + " from " + plural
        + " where " + plural + ".state = 'archived' order by " + plural + ".created_at, " + plural + ".id) as archived"
    )  # fmt: skip


def _still_used(plural: str, referring: str | None) -> str:
    what = f"{referring} still refer" if referring else "something still refers"
    return f"nothing was deleted: {what} to archived {plural}; delete or change those first"
