# SPDX-License-Identifier: Apache-2.0
"""The SQL of jobs."""

from dataclasses import replace
from typing import LiteralString, NamedTuple
from uuid import UUID

from msgspec import UNSET

from dci_server.features.components.queries import COMPONENT_COLUMNS
from dci_server.features.jobs.model import ChangedJob, Job, JobInList, JobOfPipeline
from dci_server.features.pipelines.queries import PIPELINE_COLUMNS
from dci_server.features.remotecis.queries import REMOTECI_COLUMNS
from dci_server.features.teams.queries import TEAM_COLUMNS
from dci_server.features.topics.queries import TOPIC_COLUMNS
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    by_id,
    fetch_one,
    fetch_page,
    fetch_row,
    fetch_value,
)
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing, read_listing

STATUSES = ("new", "pre-run", "running", "post-run", "success", "failure", "killed", "error")
STATES = ("active", "inactive", "archived")

COLUMNS: Columns = {
    "client_version": Column("jobs.client_version", "text"),
    "comment": Column("jobs.comment", "text"),
    "configuration": Column("jobs.configuration", "text"),
    "created_at": Column("jobs.created_at", "timestamp"),
    "data": Column("jobs.data", "json", secret=True),
    "duration": Column("jobs.duration", "integer"),
    "etag": Column("jobs.etag", "text"),
    "id": Column("jobs.id", "uuid"),
    "name": Column("jobs.name", "text"),
    "pipeline_id": Column("jobs.pipeline_id", "uuid"),
    "previous_job_id": Column("jobs.previous_job_id", "uuid"),
    "product_id": Column("jobs.product_id", "uuid"),
    "remoteci_id": Column("jobs.remoteci_id", "uuid"),
    "state": Column("jobs.state", "enum", members=STATES),
    "status": Column("jobs.status", "enum", members=STATUSES),
    "status_reason": Column("jobs.status_reason", "text"),
    "tags": Column("jobs.tags", "array"),
    "team_id": Column("jobs.team_id", "uuid"),
    "topic_id": Column("jobs.topic_id", "uuid"),
    "update_previous_job_id": Column("jobs.update_previous_job_id", "uuid"),
    "updated_at": Column("jobs.updated_at", "timestamp"),
    "url": Column("jobs.url", "text"),
    "user_agent": Column("jobs.user_agent", "text"),
}

JOB_COLUMNS: LiteralString = """
    jobs.id, jobs.created_at, jobs.updated_at, jobs.etag, jobs.name, jobs.comment, jobs.configuration,
    jobs.status_reason, jobs.url, jobs.status, jobs.state, jobs.duration, jobs.tags, jobs.topic_id, jobs.product_id,
    jobs.remoteci_id, jobs.team_id, jobs.pipeline_id, jobs.previous_job_id, jobs.update_previous_job_id,
    jobs.user_agent, jobs.client_version
"""

TOUCHED: LiteralString = "etag = left(jobs.etag, 16) || right(new_etag(), 16), updated_at = utc_now()"
"""Something that hangs on the job has changed: the second half of its etag says so (decision 33)."""


def telling(part: LiteralString, details: LiteralString, of: LiteralString) -> LiteralString:
    """A CTE: the event that this part of the job `touched` (which returns its row) has changed, for each row of `of`.

    Not a trigger, which would have to tell what comes with a new job from what is added to it.
    """
    return (
        ", told as (insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id,"
        " actor_id, data) select 'job_updated', 'job', touched.id, touched.team_id, touched.topic_id,"
        " touched.remoteci_id, touched.id, current_actor(), jsonb_build_object('status', touched.status,"
        " 'state', touched.state, 'name', left(touched.name, 255), 'changed', jsonb_build_array('" + part + "'), "
        + details + ") from touched, " + of + ")"
    )  # fmt: skip


FILE_COLUMNS: LiteralString = (
    "id, created_at, updated_at, etag, name, mime, md5, size, state, job_id, jobstate_id, team_id"
)
RESULT_COLUMNS: LiteralString = (
    "id, created_at, updated_at, name, total, success, skips, failures, errors, regressions, successfixes, time, "
    "job_id, file_id"
)

# Those of deleted files are left out, as in the job's own list of them.
_OF_ITS_FILES: LiteralString = """ from tests_results where tests_results.job_id = jobs.id
        and exists (select from files where files.id = tests_results.file_id and files.state <> 'archived')"""

_EMBEDDED: LiteralString = (
    """,
    (select row_to_json(t) from (select """
    + TOPIC_COLUMNS
    + """ from topics where topics.id = jobs.topic_id) as t)
        as topic,
    (select row_to_json(t) from (select """
    + TEAM_COLUMNS
    + """ from teams where teams.id = jobs.team_id) as t)
        as team,
    (select row_to_json(r) from (select """
    + REMOTECI_COLUMNS
    + """ from remotecis
        where remotecis.id = jobs.remoteci_id) as r) as remoteci,
    (select coalesce(json_agg(row_to_json(c)), '[]'::json) from (select """
    + COMPONENT_COLUMNS
    + """ from components
        where components.id in (select component_id from jobs_components where job_id = jobs.id)
        order by components.type, components.created_at, components.id) as c) as components,
    (select coalesce(json_agg(row_to_json(r)), '[]'::json) from (select """
    + RESULT_COLUMNS
    + _OF_ITS_FILES
    + """ order by created_at, id) as r) as results,
    (select row_to_json(p) from (select """
    + PIPELINE_COLUMNS
    + """ from pipelines
        where pipelines.id = jobs.pipeline_id) as p) as pipeline,
    (select coalesce(json_agg(row_to_json(k)), '[]'::json) from (select job_id, key, value from jobs_keys_values
        where jobs_keys_values.job_id = jobs.id order by key) as k) as keys_values
"""
)

JOB_IN_LIST: LiteralString = "select " + JOB_COLUMNS + _EMBEDDED

JOB: LiteralString = (
    "select "
    + JOB_COLUMNS
    + ", jobs.data"
    + _EMBEDDED
    + """,
    (select coalesce(json_agg(row_to_json(s)), '[]'::json) from (select id, created_at, status, comment, job_id
        from jobstates where jobstates.job_id = jobs.id order by created_at, id) as s) as jobstates,
    (select coalesce(json_agg(row_to_json(f)), '[]'::json) from (select """
    + FILE_COLUMNS
    + """ from files
        where files.job_id = jobs.id and files.jobstate_id is null and files.state <> 'archived'
        order by created_at, id) as f) as files
    from jobs
"""
)

# Nothing but visibility, or the state that clients always ask for, narrows the list: the running totals answer instead of
# a walk over the table.
_TOTAL: LiteralString = "select coalesce(sum(total), 0)::bigint from jobs_totals where "
_IS_ACTIVE: LiteralString = "jobs.state = 'active'"


async def list_jobs(db: Connection, visible: Condition, listing: Listing) -> Json[list[JobInList]]:
    of_teams: LiteralString = "team_id = any(%(team_ids)s::uuid[])" if "team_ids" in visible.params else "true"
    of_state: LiteralString = "true"
    if _asks_for_active(listing):
        visible, listing = all_of(visible, Condition(_IS_ACTIVE)), replace(listing, condition=EVERYTHING)
        of_state = "state = 'active'"
    total: LiteralString = _TOTAL + of_teams + " and " + of_state
    return await fetch_page(db, JobInList, "jobs", JOB_IN_LIST, "jobs", visible, listing, total=total)


def _asks_for_active(listing: Listing) -> bool:
    """Whether `state:active` is all that narrows it, in either language."""
    return listing.condition.sql == _STATE_IS and list(listing.condition.params.values()) == ["active"]


_STATE_IS = read_listing([("where", "state:active")], COLUMNS).condition.sql


async def list_jobs_of_component(
    db: Connection, component_id: UUID, visible: Condition, listing: Listing
) -> Json[list[JobInList]]:
    used_it = Condition(
        "exists (select from jobs_components where jobs_components.job_id = jobs.id"
        " and jobs_components.component_id = %(component_id)s::uuid)",
        {"component_id": component_id},
    )
    return await fetch_page(db, JobInList, "jobs", JOB_IN_LIST, "jobs", all_of(visible, used_it), listing)


async def find_job(db: Connection, job_id: UUID, visible: Condition) -> Json[Job] | None:
    return await fetch_one(db, Job, JOB, by_id("jobs", job_id), visible)


class Predecessor(NamedTuple):
    """What a job hands on to the one that follows it."""

    team_id: UUID
    topic_id: UUID
    remoteci_id: UUID
    next_topic_id: UUID | None


async def find_predecessor(db: Connection, job_id: UUID) -> Predecessor | None:
    row = await fetch_row(
        db,
        """select jobs.team_id, jobs.topic_id, jobs.remoteci_id, topics.next_topic_id
           from jobs join topics on topics.id = jobs.topic_id
           where jobs.id = %(job_id)s::uuid and jobs.state <> 'archived'""",
        job_id=job_id,
    )
    return Predecessor(*row.values()) if row else None


_JOB_OF_PIPELINE: LiteralString = (
    "select "
    + JOB_COLUMNS
    + ", jobs.data, (select row_to_json(t) from (select "
    + TEAM_COLUMNS
    + " from teams where teams.id = jobs.team_id) as t) as team, (select row_to_json(r) from (select "
    + REMOTECI_COLUMNS
    + " from remotecis where remotecis.id = jobs.remoteci_id) as r) as remoteci,"
    + " (select coalesce(json_agg(row_to_json(c)), '[]'::json) from (select "
    + COMPONENT_COLUMNS
    + """ from components
        where components.id in (select component_id from jobs_components where job_id = jobs.id)
        order by components.type, components.created_at, components.id) as c) as components,
    (select coalesce(json_agg(row_to_json(r)), '[]'::json) from (select """
    + RESULT_COLUMNS
    + _OF_ITS_FILES
    + " order by created_at, id) as r) as results from jobs"
)


async def list_jobs_of_pipeline(db: Connection, pipeline_id: UUID, visible: Condition) -> Json[list[JobOfPipeline]]:
    """All of them, oldest first."""
    return Json(
        await fetch_value(
            db,
            """select json_build_object('jobs', coalesce(json_agg(row_to_json(j)), '[]'::json),
                                        '_meta', json_build_object('count', count(*))) from ("""
            + _JOB_OF_PIPELINE
            + " where jobs.pipeline_id = %(pipeline_id)s::uuid and "
            + visible.sql
            + " order by jobs.created_at, jobs.id) as j",
            **visible.params,
            pipeline_id=pipeline_id,
        )
    )


# A status that differs from the stored one is also a jobstate (jobs.md §7.3). The etag's first half decides: uploads
# change the second only (decision 33).
_CHANGE_JOB: LiteralString = """
with target as (
    select jobs.id, jobs.status, jobs.team_id from jobs
    where jobs.id = %(job_id)s::uuid and jobs.state <> 'archived'
), changed as (
    update jobs set
        etag = new_etag(), updated_at = utc_now(),
        name = coalesce(%(name)s::text, name), comment = coalesce(%(comment)s::text, comment),
        configuration = coalesce(%(configuration)s::text, configuration),
        status_reason = coalesce(%(status_reason)s::text, status_reason), url = coalesce(%(url)s::text, url),
        status = coalesce(%(status)s::text, jobs.status), state = coalesce(%(state)s::text, state),
        tags = coalesce(%(tags)s::text[], tags),
        topic_id = coalesce(moved.id, topic_id), product_id = coalesce(moved.product_id, jobs.product_id)
    from target left join (select topics.id, topics.product_id from topics where """

_CHANGE_JOB_TO: LiteralString = """) as moved on true
    where jobs.id = target.id and jobs.state <> 'archived' and length(%(etag)s::text) = 32
          and left(jobs.etag, 16) = left(%(etag)s::text, 16) and """

_CHANGE_JOB_DONE: LiteralString = (
    """
    returning """
    + JOB_COLUMNS
    + """, jobs.data
), stated as (
    insert into jobstates (job_id, status) select changed.id, changed.status from changed, target
    where changed.status <> target.status
), archived as (
    update files set state = 'archived', etag = new_etag(), updated_at = utc_now()
    from changed where files.job_id = changed.id and changed.state = 'archived' and files.state <> 'archived'
)
select exists (select from target) as is_known,
       exists (select from jobs where jobs.id = %(job_id)s::uuid and """
)

_CHANGE_JOB_END: LiteralString = """) as is_changeable, (select row_to_json(changed) from changed) as job
"""


async def update_job(
    db: Connection, job_id: UUID, etag: str, changes: ChangedJob, tags: list[str] | None, changeable: Condition,
    usable_topic: Condition,
) -> Record:  # fmt: skip
    """Whether the job exists, whether the caller may change it, and the job when the etag matched as well."""
    named = all_of(Condition("topics.name = %(topic_name)s::text and topics.state <> 'archived'"), usable_topic)
    row = await fetch_row(
        db,
        _CHANGE_JOB + named.sql + _CHANGE_JOB_TO + changeable.sql + _CHANGE_JOB_DONE + changeable.sql + _CHANGE_JOB_END,
        **{**changeable.params, **usable_topic.params},
        job_id=job_id,
        etag=etag,
        topic_name=changes.topic if isinstance(changes.topic, str) else None,
        tags=tags,
        **{field: _given(getattr(changes, field)) for field in _CHANGING},
    )
    assert row is not None
    return row


_CHANGING = ("name", "comment", "configuration", "status_reason", "url", "status", "state")


def _given(value: object) -> object:
    return None if value is UNSET else value


async def archive_job(
    db: Connection, job_id: UUID, etag: str, changeable: Condition, usable_topic: Condition
) -> Record:
    """DELETE is a change of state, with the same answer (decision 31)."""
    return await update_job(db, job_id, etag, ChangedJob(state="archived"), None, changeable, usable_topic)


async def find_team_of_job(db: Connection, job_id: UUID) -> UUID | None:
    """None for a job that does not exist or is archived."""
    row = await fetch_row(
        db, "select team_id from jobs where id = %(job_id)s::uuid and state <> 'archived'", job_id=job_id
    )
    return row["team_id"] if row else None
