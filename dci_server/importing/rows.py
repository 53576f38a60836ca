# SPDX-License-Identifier: Apache-2.0
"""Brings the rows of one step over: COPY out of the source, COPY into a staging table, one statement into ours.

A batch is a transaction that holds the rows, what was changed about them, and how far the step is. A process killed at
any moment has brought whole batches, and the next run goes on behind the last one.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import LiteralString

from dci_server.foundation.database.connection import execute, fetch_row, fetch_rows
from dci_server.importing import target as progress_in
from dci_server.importing.progress import Progress
from dci_server.importing.source import Source, SourceConnection, SourceError, source_errors
from dci_server.importing.steps import EXAMPLES, Change, Step
from dci_server.importing.target import Target

_CHUNKS_AHEAD = 8
_ALREADY_THERE: LiteralString = "a row with the same key was there already"


async def bring_rows(source: Source, target: Target, step: Step, progress: Progress, batch_bytes: int) -> None:
    position = await progress_in.position_of(target, step.name)
    if position.is_finished or not source.has(step):
        return
    progress.begin(step.name, await source.rough_count(step), position.read)
    await execute(target, "drop table if exists staged")
    await execute(target, step.stage())
    query = step.read(source.present, resumed=position.last is not None)
    batches = _batches(source.db, query, position.last or (), batch_bytes)
    async with aclosing(batches):
        async for batch in batches:
            progress.advance(await _bring_batch(target, step, batch))
    async with target.transaction():
        for last in step.finishes:
            texts = [row[0] for row in await fetch_rows(target, last.sql)]
            if texts and last.reason is not None:
                await progress_in.note(target, step.name, last.kind, last.reason, len(texts), sorted(texts)[:EXAMPLES])
        await progress_in.finish(target, step.name)
    progress.end()


async def _batches(
    db: SourceConnection, query: LiteralString, position: Sequence[str], size: int
) -> AsyncGenerator[bytes]:
    """Whole lines of COPY's text format, where a line break is always the end of a row; read while we write."""
    chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_AHEAD)

    async def read() -> None:
        try:
            with source_errors():
                await db.copy_from_query(query, *position, output=chunks.put)
        except SourceError:
            await chunks.put(None)
            raise
        await chunks.put(None)

    reading = asyncio.create_task(read())
    buffer = bytearray()
    try:
        while (chunk := await chunks.get()) is not None:
            buffer += chunk
            while len(buffer) >= size:
                end = buffer.rfind(b"\n", 0, size) + 1 or buffer.find(b"\n") + 1
                if not end:
                    break
                yield bytes(buffer[:end])
                del buffer[:end]
        await reading
        if buffer:
            yield bytes(buffer)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _bring_batch(target: Target, step: Step, batch: bytes) -> int:
    """How many rows were read."""
    async with target.transaction():
        columns = [column.name for column in step.columns]
        await target.copy_to_table("staged", source=_once(batch), columns=columns)
        for statement in step.prepare:
            await execute(target, statement)
        read, last = await _note_changes(target, step)
        left = read
        skips: list[LiteralString] = [change.found for change in step.changes if change.kind == "skipped"]
        if skips:
            left -= _count(await execute(target, "delete from staged as s where " + _any_of(skips)))
        written = _count(await execute(target, _harmless(step.write)))
        if left > written:
            await progress_in.note(target, step.name, "skipped", _ALREADY_THERE, left - written, [])
        await progress_in.advance(target, step.name, last, read, written)
    return read


async def _once(batch: bytes) -> AsyncIterator[bytes]:
    yield batch


def _harmless(write: LiteralString) -> LiteralString:
    """What a run with another snapshot of the source has brought already stays as it is."""
    return write + " on conflict do nothing" if write.startswith("insert") else write


def _any_of(conditions: list[LiteralString]) -> LiteralString:
    return "(" + ") or (".join(conditions) + ")"


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])


async def _note_changes(target: Target, step: Step) -> tuple[int, Sequence[str]]:
    """How many rows are staged, and the key of the last."""
    key: LiteralString = ", ".join([name + "::text" for name in step.key])
    counts: LiteralString = "select count(*), (select array[" + key + "] from staged order by n desc limit 1)"
    for change in step.changes:
        counts += ", " + change.amount + " filter (where " + change.found + ")"
    row = await fetch_row(target, counts + " from staged as s")
    assert row is not None
    for change, total in zip(step.changes, list(row)[2:], strict=True):
        if total:
            await _note(target, step, change, int(total))
    return row[0], row[1]


async def _note(target: Target, step: Step, change: Change, total: int) -> None:
    rows = await fetch_rows(
        target,
        "select "
        + change.example
        + " from staged as s where "
        + change.found
        + " order by s.n limit %(most)s::integer",
        most=EXAMPLES,
    )
    examples = [row[0] or "?" for row in rows]
    await progress_in.note(target, step.name, change.kind, change.reason, total, examples)
