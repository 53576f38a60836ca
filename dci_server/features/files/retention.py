# SPDX-License-Identifier: Apache-2.0
"""Files of old jobs lose their content by rule. What is known of them stays, and says that the content is gone.

One job after the other, in transactions of some thousand files: whoever dies leaves whole files to the next round.
Several processes take different jobs, and a file that is being packed, replaced or deleted is left for the next round.
"""

from dataclasses import dataclass

from dci_server.features.files import retention_queries as queries
from dci_server.features.retention.model import Rule
from dci_server.foundation.database.connection import Connection, Record, transaction

_NEW_JOBS_AT_ONCE = 1_000
_FILES_AT_ONCE = 5_000
"""What a pack holds, so that most packs go at once."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A rule, and what is past it."""

    rule: Rule
    jobs: int
    files: int
    objects: int
    """Big files, and packs as a whole."""
    bytes: int
    """As they are stored."""


@dataclass(slots=True)
class Removed:
    jobs: int = 0
    files: int = 0
    objects: int = 0
    bytes: int = 0


async def list_expired(db: Connection) -> list[Expired]:
    """What a run would remove now, rule by rule."""
    return [
        Expired(
            Rule("files", row["topic"], row["team"], row["days"], row["keep_tags"]),
            row["jobs"],
            row["files"],
            row["objects"],
            row["bytes"],
        )
        for row in await queries.list_expired(db)
    ]


async def remove_expired(db: Connection) -> Removed:
    """The objects leave the store later, when nobody can be reading them any more."""
    await _work_out_new(db)
    removed = Removed()
    job: Record | None = None
    while (job := await queries.find_due(db, job)) is not None:
        files_before = removed.files
        while await _remove_some(db, job, removed) == _FILES_AT_ONCE:
            pass
        removed.jobs += removed.files > files_before
    return removed


async def _work_out_new(db: Connection) -> None:
    taken = _NEW_JOBS_AT_ONCE
    while taken == _NEW_JOBS_AT_ONCE:
        async with transaction(db) as connection:
            job_ids = await queries.take_new(connection, _NEW_JOBS_AT_ONCE)
            await queries.work_out(connection, job_ids)
        taken = len(job_ids)


async def _remove_some(db: Connection, job: Record, removed: Removed) -> int:
    """How many files lost their content. Each statement sees what the locks of those before it made sure of."""
    job_id = job["job_id"]
    async with transaction(db) as connection:
        if not await queries.lock_job(connection, job_id):
            return 0
        file_ids = await queries.lock_files(connection, job_id, _FILES_AT_ONCE)
        gone = await queries.remove_contents(connection, file_ids)
        packs = await queries.drop_empty_packs(connection, job_id)
        await queries.keep_for_readers(connection, packs["keys"])
        await queries.forget_job(connection, job_id)
    removed.files += gone["files"]
    removed.objects += gone["objects"] + len(packs["keys"])
    removed.bytes += gone["bytes"] + packs["bytes"]
    return len(file_ids)
