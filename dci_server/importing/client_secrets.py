# SPDX-License-Identifier: Apache-2.0
"""Brings the secrets of remotecis and feeders over: in clear there, sealed here; they touch our database sealed only."""

from typing import LiteralString

from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.database.connection import execute
from dci_server.importing import target as progress_in
from dci_server.importing.progress import Progress
from dci_server.importing.source import Source, source_errors
from dci_server.importing.steps import EXAMPLES
from dci_server.importing.target import Target

_AT_ONCE = 500
_SELECT: LiteralString = "select t.id, t.created_at, t.api_secret::text as secret from {owners} as t where true"
_AFTER: LiteralString = " and (t.created_at, t.id) > ($2::text::timestamp, $3::text::uuid)"
_ORDER: LiteralString = " order by t.created_at, t.id limit $1"

OWNERS: tuple[tuple[LiteralString, LiteralString], ...] = (("remotecis", "remoteci_id"), ("feeders", "feeder_id"))


async def bring_secrets(
    source: Source, target: Target, box: SecretBox, owners: LiteralString, column: LiteralString, progress: Progress
) -> None:
    name: LiteralString = owners + ".api_secret"
    position = await progress_in.position_of(target, name)
    if position.is_finished or owners not in source.present:
        return
    progress.begin(name, None, position.read)
    select = _SELECT.replace("{owners}", owners)
    last = position.last
    while True:
        with source_errors():
            rows = await source.db.fetch(select + (_AFTER if last else "") + _ORDER, _AT_ONCE, *(last or ()))
        if not rows:
            break
        sealed = [(row["id"], row["created_at"], box.seal(row["secret"], row["id"])) for row in rows if row["secret"]]
        without = [str(row["id"]) for row in rows if not row["secret"]]
        last = [rows[-1]["created_at"].isoformat(), str(rows[-1]["id"])]
        async with target.transaction():
            tag = await execute(
                target,
                "insert into client_secrets (" + column + """, created_at, sealed_secret)
                 select given.owner, given.created_at, given.sealed
                 from unnest(%(owners)s::uuid[], %(times)s::timestamp[], %(sealed)s::bytea[]) as given (owner, created_at, sealed)
                 join """ + owners + " as owners on owners.id = given.owner",
                owners=[owner for owner, _, _ in sealed],
                times=[moment for _, moment, _ in sealed],
                sealed=[secret for _, _, secret in sealed],
            )  # fmt: skip
            if without:
                reason = "it had no secret: it can't sign in until it gets a new one"
                await progress_in.note(target, name, "noted", reason, len(without), without[:EXAMPLES])
            await progress_in.advance(target, name, last, len(rows), int(tag.rpartition(" ")[2]))
        progress.advance(len(rows))
    await progress_in.finish(target, name)
    progress.end()
