# SPDX-License-Identifier: Apache-2.0
"""The SQL of jobs events."""

from dci_server.features.jobs_events.model import JobsEvent, Sequence
from dci_server.foundation.database.connection import Connection, Json, execute, fetch_page, fetch_value
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "created_at": Column("jobs_events.created_at", "timestamp"),
    "id": Column("jobs_events.id", "integer"),
    "job_id": Column("jobs_events.job_id", "uuid"),
    "status": Column("jobs_events.status", "enum", members=("success", "failure", "error")),
    "topic_id": Column("jobs_events.topic_id", "uuid"),
}


async def list_jobs_events(db: Connection, first_id: int, listing: Listing) -> Json[list[JobsEvent]]:
    from_there = Condition("jobs_events.id >= %(first_id)s::bigint", {"first_id": first_id})
    select = (
        "select jobs_events.id, jobs_events.created_at, jobs_events.job_id, jobs_events.topic_id, jobs_events.status"
    )
    return await fetch_page(db, JobsEvent, "jobs_events", select, "jobs_events", from_there, listing)


async def remove_jobs_events(db: Connection, first_id: int) -> None:
    """Those that there are by now; whoever else reads the events still finds them."""
    await execute(
        db,
        """update jobs_events_sequence set removed = removed + int8multirange(int8range(%(first_id)s::bigint, last_id + 1))
           from events_numbering where %(first_id)s::bigint <= last_id""",
        first_id=first_id,
    )


async def find_sequence(db: Connection) -> Json[Sequence]:
    return Json(
        await fetch_value(
            db, "select row_to_json(s) from (select sequence, etag from jobs_events_sequence) as s"
        )
    )  # fmt: skip


async def update_sequence(db: Connection, sequence: int, etag: str) -> bool:
    """Whether the etag matched."""
    changed = await fetch_value(
        db,
        """update jobs_events_sequence set sequence = %(sequence)s::bigint, etag = new_etag()
           where etag = %(etag)s::text returning true""",
        sequence=sequence,
        etag=etag,
    )
    return changed is not None
