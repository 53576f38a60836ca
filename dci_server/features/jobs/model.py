# SPDX-License-Identifier: Apache-2.0
"""The shapes of a job."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.components.model import Component
from dci_server.features.pipelines.model import PipelineColumns
from dci_server.features.remotecis.model import RemoteciColumns
from dci_server.features.teams.model import TeamColumns
from dci_server.features.topics.model import TopicColumns
from dci_server.foundation.shapes import (
    Count,
    GivenIds,
    GivenTags,
    Id,
    JsonObject,
    State,
    Status,
    Url,
    UrlOrEmpty,
    empty_object,
)


class KeyValue(Struct, frozen=True):
    job_id: str
    key: str
    value: float


class Result(Struct, frozen=True):
    """A row of test results, embedded in a job."""

    id: str
    created_at: str
    updated_at: str
    name: str
    total: int
    success: int
    skips: int
    failures: int
    errors: int
    regressions: int
    successfixes: int
    time: int
    job_id: str
    file_id: str


class JobstateOfJob(Struct, frozen=True):
    id: str
    created_at: str
    status: Status
    comment: str | None
    job_id: str


class FileOfJob(Struct, frozen=True):
    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    mime: str | None
    md5: str | None
    size: int
    state: State
    job_id: str
    jobstate_id: str | None
    team_id: str


class JobInList(Struct, frozen=True, kw_only=True):
    """A job with everything that lists embed; its `data` is left to the reading of one job."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    comment: str
    configuration: str
    status_reason: str
    url: str
    status: Status
    state: State
    duration: int
    tags: list[str]
    topic_id: str
    product_id: str
    remoteci_id: str
    team_id: str
    pipeline_id: str | None
    previous_job_id: str | None
    update_previous_job_id: str | None
    user_agent: str
    client_version: str
    topic: TopicColumns
    team: TeamColumns
    remoteci: RemoteciColumns
    components: list[Component]
    results: list[Result]
    pipeline: PipelineColumns | None
    keys_values: list[KeyValue]


class Job(JobInList, frozen=True, kw_only=True):
    """What the API answers for one job."""

    data: dict[str, Any]
    jobstates: list[JobstateOfJob]
    files: list[FileOfJob]


class JobColumns(Struct, frozen=True, kw_only=True):
    """A job without what it embeds: the answer to a creation or a change."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    comment: str
    configuration: str
    status_reason: str
    url: str
    status: Status
    state: State
    duration: int
    tags: list[str]
    data: dict[str, Any]
    topic_id: str
    product_id: str
    remoteci_id: str
    team_id: str
    pipeline_id: str | None
    previous_job_id: str | None
    update_previous_job_id: str | None
    user_agent: str
    client_version: str


class JobOfPipeline(JobColumns, frozen=True, kw_only=True):
    """A job as its pipeline lists it."""

    team: TeamColumns
    remoteci: RemoteciColumns
    components: list[Component]
    results: list[Result]


class NewJob(Struct, frozen=True, kw_only=True):
    """POST /jobs: the components are named (jobs.md §3)."""

    components: GivenIds
    topic_id: Id | None = None
    comment: str = ""
    status_reason: str = ""
    configuration: str = ""
    name: str = ""
    url: UrlOrEmpty = ""
    tags: GivenTags = msgspec.field(default_factory=list[Any])
    data: JsonObject = msgspec.field(default_factory=empty_object)
    state: State = "active"
    previous_job_id: Id | None = None
    update_previous_job_id: Id | None = None
    pipeline_id: Id | None = None
    # quirk: accepted from older clients and ignored; a job belongs to the remoteci that creates it.
    remoteci_id: Id | UnsetType = UNSET
    team_id: Id | UnsetType = UNSET


class ScheduledJob(Struct, frozen=True, kw_only=True):
    """POST /jobs/schedule: the newest components, unless they are named (jobs.md §4)."""

    topic_id: Id
    components_ids: GivenIds = msgspec.field(default_factory=list[Any])
    comment: str | None = None
    configuration: str | None = None
    name: str | None = None
    url: Url | None = None
    tags: GivenTags = msgspec.field(default_factory=list[Any])
    data: JsonObject = msgspec.field(default_factory=empty_object)
    state: State = "active"
    previous_job_id: Id | None = None
    pipeline_id: Id | None = None
    # quirk: accepted and ignored, as in POST /jobs.
    remoteci_id: Id | UnsetType = UNSET


class ChangedJob(Struct, frozen=True, kw_only=True):
    """PUT /jobs/<id>: a client may send back the whole job; only these change (jobs.md §7.3)."""

    comment: str | UnsetType = UNSET
    status_reason: str | UnsetType = UNSET
    configuration: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    url: UrlOrEmpty | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    state: State | UnsetType = UNSET
    tags: GivenTags | UnsetType = UNSET
    # quirk: a newer client sends the whole topic or the name of another one (decision 48).
    topic: Any = UNSET


class JobToUpgrade(Struct, frozen=True, kw_only=True):
    """POST /jobs/upgrade."""

    job_id: Id


class JobAnswer(Struct):
    job: Job


class JobColumnsAnswer(Struct):
    job: JobColumns


class JobsOfPipelineAnswer(Struct):
    jobs: list[JobOfPipeline]
    meta: Count = msgspec.field(name="_meta")


class ArchivedJobsAnswer(Struct):
    jobs: list[JobColumns]
    meta: Count = msgspec.field(name="_meta")


class JobsAnswer(Struct):
    jobs: list[JobInList]
    meta: Count = msgspec.field(name="_meta")
