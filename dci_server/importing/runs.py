# SPDX-License-Identifier: Apache-2.0
"""How pipelines, jobs and everything that hangs on a job come over."""

from typing import LiteralString

from dci_server.importing.catalogue import PRODUCT, TOPIC, stand_in_topic
from dci_server.importing.steps import (
    BY_AGE,
    CONTROL,
    DATA,
    ESSENTIAL,
    ID_AND_TIMES,
    NO_STATE,
    STANDARD,
    STANDARD_NAMES,
    STANDARD_VALUES,
    TAGS,
    Change,
    Column,
    Finish,
    Step,
    shortened,
    without,
)

_STATUSES: LiteralString = "('new', 'pre-run', 'running', 'post-run', 'success', 'failure', 'killed', 'error')"
_UNKNOWN_STATUS = Change(
    "changed", "the status is not known here: error", "s.status is not null and s.status not in " + _STATUSES
)

PIPELINES = Step(
    name="pipelines",
    table="pipelines",
    essential=ESSENTIAL | {"name", "team_id"},
    columns=(*STANDARD, Column("name", "text"), Column("team_id", "uuid")),
    key=BY_AGE,
    changes=(NO_STATE, shortened("name"), without("teams", "team_id", "its team is not there")),
    write="insert into pipelines (" + STANDARD_NAMES + """, name, team_id)
        select """ + STANDARD_VALUES + """, left(s.name, 255), s.team_id
        from staged as s order by s.n""",
)  # fmt: skip


# A job nearly always names an older one, which is there by then, or read at the same time; see JOB_LINKS for the others.
def _if_there(column: LiteralString) -> LiteralString:
    return (
        "case when exists (select from jobs as p where p.id = s." + column + ") "
        "or exists (select from staged as p where p.id = s." + column + ") then s." + column + " end"
    )


JOBS = Step(
    name="jobs",
    table="jobs",
    is_essential=True,
    essential=ESSENTIAL | {"status", "topic_id", "remoteci_id", "team_id"},
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("comment", "text"),
        Column("configuration", "text"),
        Column("status_reason", "text"),
        Column("url", "text"),
        Column("status", "text"),
        Column("duration", "integer"),
        Column("tags", "text[]"),
        Column("data", "json"),
        Column("topic_id", "uuid"),
        Column("product_id", "uuid"),
        Column("remoteci_id", "uuid"),
        Column("team_id", "uuid"),
        Column("pipeline_id", "uuid"),
        Column("previous_job_id", "uuid"),
        Column("update_previous_job_id", "uuid"),
        Column("user_agent", "text"),
        Column("client_version", "text"),
    ),
    key=BY_AGE,
    prepare=(stand_in_topic(), "create index if not exists staged_id_idx on staged (id)"),
    changes=(
        NO_STATE,
        _UNKNOWN_STATUS,
        Change("changed", "the status was empty: new", "s.status is null"),
        Change(
            "changed",
            "it had no topic: put under the topic 'Imported without a topic', which no team has access to",
            "s.topic_id is null",
        ),
        Change(
            "changed",
            "it had no product: that of its topic",
            "s.product_id is null and s.topic_id is not null",
        ),
        Change(
            "changed",
            "its pipeline is not there: without one",
            "s.pipeline_id is not null and not exists (select from pipelines as p where p.id = s.pipeline_id)",
        ),
        without("topics", "topic_id", "its topic is not there"),
        without("products", "product_id", "its product is not there"),
        without("remotecis", "remoteci_id", "its remoteci is not there"),
        without("teams", "team_id", "its team is not there"),
        Change("skipped", "it has no remoteci or no team", "s.remoteci_id is null or s.team_id is null"),
    ),
    write="insert into jobs (" + STANDARD_NAMES + """, name, comment, configuration, status_reason, url, status, duration,
                 tags, data, topic_id, product_id, remoteci_id, team_id, pipeline_id, previous_job_id,
                 update_previous_job_id, user_agent, client_version)
        select """ + STANDARD_VALUES + """, coalesce(s.name, ''), coalesce(s.comment, ''), coalesce(s.configuration, ''),
               coalesce(s.status_reason, ''), coalesce(s.url, ''),
               case when s.status is null then 'new' when s.status in """ + _STATUSES + """ then s.status else 'error' end,
               coalesce(s.duration, 0), """ + TAGS + ", " + DATA + """,
               coalesce(s.topic_id, """ + TOPIC + """),
               coalesce(s.product_id, (select p.product_id from topics as p where p.id = s.topic_id), """ + PRODUCT + """),
               s.remoteci_id, s.team_id, (select p.id from pipelines as p where p.id = s.pipeline_id),
               """ + _if_there("previous_job_id") + ", " + _if_there("update_previous_job_id") + """,
               left(coalesce(s.user_agent, ''), 255), left(coalesce(s.client_version, ''), 255)
        from staged as s order by s.n""",
)  # fmt: skip

# Jobs that name one which was created later than they were.
JOB_LINKS = Step(
    name="jobs.previous_job_id",
    table="jobs",
    join="""left join jobs as p on p.id = t.previous_job_id left join jobs as u on u.id = t.update_previous_job_id""",
    condition="((p.created_at, p.id) > (t.created_at, t.id) or (u.created_at, u.id) > (t.created_at, t.id))",
    columns=(*ID_AND_TIMES, Column("previous_job_id", "uuid"), Column("update_previous_job_id", "uuid")),
    key=BY_AGE,
    write="update jobs set previous_job_id = " + _if_there("previous_job_id") + """,
               update_previous_job_id = """ + _if_there("update_previous_job_id") + """
        from staged as s where jobs.id = s.id""",
    needs=frozenset({"previous_job_id", "update_previous_job_id"}),
)  # fmt: skip

# What hangs on a job is read in the order of the jobs: what one job needs is then in the same place on the disk.
_JOB_CREATED_AT = Column("job_created_at", "timestamp", "j.created_at")
_OF_JOB: LiteralString = "join jobs as j on j.id = t.job_id"

JOBS_COMPONENTS = Step(
    name="jobs_components",
    table="jobs_components",
    is_essential=True,
    essential=frozenset({"job_id", "component_id"}),
    join=_OF_JOB,
    columns=(_JOB_CREATED_AT, Column("job_id", "uuid"), Column("component_id", "uuid")),
    key=("job_created_at", "job_id", "component_id"),
    changes=(
        without("jobs", "job_id", "its job is not there", "s.job_id || ' ' || s.component_id"),
        without("components", "component_id", "its component is not there", "s.job_id || ' ' || s.component_id"),
    ),
    write="""insert into jobs_components (job_id, component_id)
             select s.job_id, s.component_id from staged as s order by s.n""",
)

JOBS_KEYS_VALUES = Step(
    name="jobs_keys_values",
    table="jobs_keys_values",
    essential=frozenset({"job_id", "key", "value"}),
    # In some databases a job may have several values of a key; nothing but their place tells which one is the last.
    source="""(select job_id, key collate "C" as key, (array_agg(value order by ctid))[count(*)] as value, count(*) as copies
               from jobs_keys_values group by job_id, key collate "C")""",
    join=_OF_JOB,
    columns=(
        _JOB_CREATED_AT,
        Column("job_id", "uuid"),
        Column("key", "text"),
        Column("value", "double precision"),
        Column("copies", "bigint", "t.copies"),
    ),
    key=("job_created_at", "job_id", "key"),
    changes=(
        Change(
            "changed",
            "a job had several values of a key: the last one is kept",
            "s.copies > 1",
            "s.job_id || ' ' || s.key",
            "sum(s.copies - 1)",
        ),
        without("jobs", "job_id", "its job is not there", "s.job_id || ' ' || s.key"),
    ),
    write="""insert into jobs_keys_values (job_id, key, value)
             select s.job_id, left(s.key, 255), s.value from staged as s order by s.n""",
)

JOBSTATES = Step(
    name="jobstates",
    table="jobstates",
    is_essential=True,
    essential=ESSENTIAL | {"status", "job_id"},
    columns=(*ID_AND_TIMES, Column("status", "text"), Column("comment", "text"), Column("job_id", "uuid")),
    key=BY_AGE,
    changes=(
        _UNKNOWN_STATUS,
        Change("skipped", "it has no job or no status", "s.job_id is null or s.status is null"),
        without("jobs", "job_id", "its job is not there"),
    ),
    write="""insert into jobstates (id, created_at, status, comment, job_id)
             select s.id, s.created_at, case when s.status in """ + _STATUSES + """ then s.status else 'error' end,
                    s.comment, s.job_id
             from staged as s order by s.n""",
)  # fmt: skip

_FILE_JOB: LiteralString = "coalesce(t.job_id, states.job_id)"

FILES = Step(
    name="files",
    table="files",
    is_essential=True,
    essential=ESSENTIAL | {"name", "job_id", "jobstate_id", "team_id"},
    join="left join jobstates as states on states.id = t.jobstate_id",
    columns=(
        *STANDARD,
        Column("name", "text"),
        Column("mime", "text"),
        Column("md5", "text"),
        Column("size", "bigint"),
        Column("job_id", "uuid", _FILE_JOB),
        Column("is_jobs_own", "boolean", "t.job_id is not null"),
        Column("jobstate_id", "uuid"),
        Column("jobstate_job_id", "uuid", "states.job_id"),
        Column("team_id", "uuid"),
    ),
    key=BY_AGE,
    changes=(
        NO_STATE,
        shortened("name"),
        Change("skipped", "it belongs to no job and to no jobstate", "s.job_id is null"),
        without("jobs", "job_id", "its job is not there"),
        without("teams", "team_id", "its team is not there"),
        Change("changed", "it named no job: that of its jobstate", "not s.is_jobs_own and s.job_id is not null"),
        Change(
            "changed",
            "its jobstate is of another job, or not there: kept with the job alone",
            "s.jobstate_id is not null and s.jobstate_job_id is distinct from s.job_id",
        ),
        Change("changed", "the size was empty: 0 until the bytes are brought over", "s.size is null"),
        Change(
            "changed",
            "name or type held control characters: replaced by _",
            "s.name ~ " + CONTROL + " or s.mime ~ " + CONTROL,
        ),
    ),
    write="insert into files (" + STANDARD_NAMES + """, name, mime, md5, size, job_id, jobstate_id, team_id)
        select """ + STANDARD_VALUES + """, left(regexp_replace(s.name, """ + CONTROL + """, '_', 'g'), 255),
               regexp_replace(s.mime, """ + CONTROL + """, '_', 'g'), s.md5, coalesce(s.size, 0), s.job_id,
               case when s.jobstate_job_id = s.job_id then s.jobstate_id end, s.team_id
        from staged as s order by s.n""",
)  # fmt: skip

TESTS_RESULTS = Step(
    name="tests_results",
    table="tests_results",
    essential=ESSENTIAL | {"name", "job_id", "file_id"},
    columns=(
        *ID_AND_TIMES,
        Column("updated_at", "timestamp"),
        Column("name", "text"),
        Column("total", "integer"),
        Column("success", "integer"),
        Column("skips", "integer"),
        Column("failures", "integer"),
        Column("errors", "integer"),
        Column("regressions", "integer"),
        Column("successfixes", "integer"),
        Column("time", "integer"),
        Column("job_id", "uuid"),
        Column("file_id", "uuid"),
    ),
    key=BY_AGE,
    changes=(
        Change(
            "changed",
            "a counter was empty: 0",
            "num_nulls(s.total, s.success, s.skips, s.failures, s.errors, s.time) > 0",
        ),
        without("jobs", "job_id", "its job is not there"),
        without("files", "file_id", "its file is not there"),
        Change("skipped", "it has no job or no file", "s.job_id is null or s.file_id is null"),
    ),
    write="""insert into tests_results (id, created_at, updated_at, name, total, success, skips, failures, errors,
                 regressions, successfixes, time, job_id, file_id)
        select s.id, s.created_at, coalesce(s.updated_at, s.created_at), s.name, coalesce(s.total, 0),
               coalesce(s.success, 0), coalesce(s.skips, 0), coalesce(s.failures, 0), coalesce(s.errors, 0),
               coalesce(s.regressions, 0), coalesce(s.successfixes, 0), coalesce(s.time, 0), s.job_id, s.file_id
        from staged as s order by s.n""",
)

JOBS_EVENTS = Step(
    name="jobs_events",
    table="jobs_events",
    columns=(
        Column("id", "bigint"),
        Column("created_at", "timestamp"),
        Column("job_id", "uuid"),
        Column("topic_id", "uuid"),
        Column("status", "text"),
    ),
    key=("id",),
    needs=frozenset({"id", "created_at", "job_id"}),
    changes=(without("jobs", "job_id", "its job is not there"),),
    write="""insert into imported_jobs_events (id, created_at, job_id, topic_id, status)
             select s.id, s.created_at, s.job_id, s.topic_id, s.status from staged as s order by s.n""",
    finishes=(
        # Whoever follows them by number finds what happens from now on behind what has been.
        Finish(
            """update events_numbering
               set last_id = greatest(last_id, (select coalesce(max(id), 0) from imported_jobs_events))
               from (select pg_advisory_xact_lock(4025061126)) as alone returning last_id::text"""
        ),
    ),
)

COUNTER = Step(
    name="counter",
    table="counter",
    needs=frozenset({"name", "sequence"}),
    condition="t.name = 'jobs_events'",
    columns=(Column("name", "text"), Column("sequence", "bigint"), Column("etag", "text")),
    key=("name",),
    write="""update jobs_events_sequence set sequence = coalesce(s.sequence, 0), etag = coalesce(s.etag, new_etag())
             from staged as s""",
)
