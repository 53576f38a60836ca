# SPDX-License-Identifier: Apache-2.0
"""The shapes of jobs events."""

from typing import Literal

import msgspec
from msgspec import Struct

from dci_server.foundation.shapes import Count


class JobsEvent(Struct, frozen=True, kw_only=True):
    """A job ended; `status` is that of its jobstate."""

    id: int
    created_at: str
    job_id: str
    topic_id: str
    status: Literal["success", "failure", "error"]


class JobsEventsAnswer(Struct):
    jobs_events: list[JobsEvent]
    meta: Count = msgspec.field(name="_meta")


class Sequence(Struct, frozen=True):
    sequence: int
    etag: str


class SequenceAnswer(Struct):
    sequence: Sequence


class ChangedSequence(Struct, frozen=True, kw_only=True):
    sequence: int
