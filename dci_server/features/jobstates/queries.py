# SPDX-License-Identifier: Apache-2.0
"""The SQL of jobstates."""

from typing import LiteralString, NamedTuple
from uuid import UUID

from dci_server.features.jobs.queries import FILE_COLUMNS, STATUSES, TOUCHED, telling
from dci_server.features.jobstates.model import JobstateWithFiles, NewJobstate
from dci_server.foundation.database.connection import Connection, Json, Record, execute, fetch_page, fetch_row
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.identifiers import new_id
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "comment": Column("jobstates.comment", "text"),
    "created_at": Column("jobstates.created_at", "timestamp"),
    "id": Column("jobstates.id", "uuid"),
    "job_id": Column("jobstates.job_id", "uuid"),
    "status": Column("jobstates.status", "enum", members=STATUSES),
}

JOBSTATE_WITH_FILES: LiteralString = (
    """
    select jobstates.id, jobstates.created_at, jobstates.status, jobstates.comment, jobstates.job_id,
    (select coalesce(json_agg(row_to_json(f)), '[]'::json) from (select """
    + FILE_COLUMNS
    + """ from files
        where files.jobstate_id = jobstates.id and files.state <> 'archived' order by created_at, id) as f) as files
"""
)

# quirk: a failure that comes before the job ran is stored as the jobstate `error`, while the job takes the status as
# it was sent (jobs.md §9.1 steps 5 and 6).
_ADD: LiteralString = """
with target as (
    select jobs.id, jobs.status from jobs where jobs.id = %(job_id)s::uuid and jobs.state <> 'archived'
    for no key update
), changed as (
    update jobs set
        status = %(status)s::text,
        duration = round(extract(epoch from utc_now() - jobs.created_at))::integer,
        etag = left(jobs.etag, 16) || right(new_etag(), 16),
        updated_at = utc_now()
    from target where jobs.id = target.id and """

_ADD_DONE: LiteralString = """
    returning jobs.id, target.status as status_before
), added as (
    insert into jobstates (id, job_id, status, comment)
    select %(jobstate_id)s::uuid, changed.id,
           case when %(status)s::text in ('failure', 'error') and changed.status_before in ('new', 'pre-run')
                then 'error' else %(status)s::text end,
           %(comment)s::text
    from changed
    returning id, created_at, status, comment, job_id
)
select exists (select from target) as is_known, (select row_to_json(added) from added) as jobstate
"""


async def insert_jobstate(db: Connection, new: NewJobstate, changeable: Condition) -> Record:
    """Whether the job exists, and the jobstate when the caller may add one."""
    row = await fetch_row(
        db,
        _ADD + changeable.sql + _ADD_DONE,
        **changeable.params,
        jobstate_id=new_id(),
        job_id=UUID(new.job_id),
        status=new.status,
        comment=new.comment,
    )
    assert row is not None
    return row


class Found(NamedTuple):
    """A jobstate with its files, and the job it is of."""

    jobstate: Json[JobstateWithFiles]
    team_id: UUID
    job_is_archived: bool


async def find_jobstate(db: Connection, jobstate_id: UUID) -> Found | None:
    row = await fetch_row(
        db,
        "select (select row_to_json(s) from ("
        + JOBSTATE_WITH_FILES
        + """) as s) as jobstate, jobs.team_id, jobs.state = 'archived' as job_is_archived
             from jobstates join jobs on jobs.id = jobstates.job_id where jobstates.id = %(jobstate_id)s::uuid""",
        jobstate_id=jobstate_id,
    )
    return Found(Json(row["jobstate"]), row["team_id"], row["job_is_archived"]) if row else None


async def delete_jobstate(db: Connection, jobstate_id: UUID, changeable: Condition) -> None:
    """Its files stay, as files of the job."""
    await execute(
        db,
        """with removed as (
               delete from jobstates using jobs
               where jobstates.id = %(jobstate_id)s::uuid and jobs.id = jobstates.job_id and """
        + changeable.sql
        + """ returning jobstates.id, jobstates.status, job_id
           ), touched as (
               update jobs set """
        + TOUCHED
        + " from removed where jobs.id = removed.job_id returning jobs.*)"
        + telling(
            "jobstates", "'removed', jsonb_build_object('id', removed.id, 'status', removed.status)", of="removed"
        )
        + " select",
        **changeable.params,
        jobstate_id=jobstate_id,
    )


async def list_jobstates(db: Connection, job_id: UUID, listing: Listing) -> Json[list[JobstateWithFiles]]:
    of_job = Condition("jobstates.job_id = %(job_id)s::uuid", {"job_id": job_id})
    return await fetch_page(db, JobstateWithFiles, "jobstates", JOBSTATE_WITH_FILES, "jobstates", of_job, listing)
