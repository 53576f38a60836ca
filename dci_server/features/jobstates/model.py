# SPDX-License-Identifier: Apache-2.0
"""The shapes of a jobstate."""

import msgspec
from msgspec import Struct

from dci_server.features.jobs.model import Count, FileOfJob
from dci_server.foundation.shapes import Id, Status


class Jobstate(Struct, frozen=True):
    id: str
    created_at: str
    status: Status
    comment: str | None
    job_id: str


class JobstateWithFiles(Struct, frozen=True):
    id: str
    created_at: str
    status: Status
    comment: str | None
    job_id: str
    files: list[FileOfJob]


class NewJobstate(Struct, frozen=True, kw_only=True):
    status: str
    job_id: Id
    comment: str | None = None


class JobstateAnswer(Struct):
    jobstate: Jobstate


class JobstateWithFilesAnswer(Struct):
    jobstate: JobstateWithFiles


class JobstatesAnswer(Struct):
    jobstates: list[JobstateWithFiles]
    meta: Count = msgspec.field(name="_meta")
