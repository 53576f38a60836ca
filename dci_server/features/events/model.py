# SPDX-License-Identifier: Apache-2.0
"""The shapes of an event."""

from typing import Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct

EventType: TypeAlias = Literal[
    "job_created",
    "job_updated",
    "job_state_changed",
    "job_finished",
    "job_archived",
    "file_uploaded",
    "results_stored",
    "component_created",
    "component_activated",
    "component_updated",
    "topic_changed",
    "team_changed",
    "remoteci_changed",
    "remoteci_silent",
    "remoteci_back",
    "secret_rotated",
    "webhook_disabled",
]
TYPES: tuple[str, ...] = get_args(EventType)
"""What each carries in its `data` is in docs/events.md."""

SubjectKind: TypeAlias = Literal["job", "file", "component", "topic", "team", "remoteci", "feeder", "webhook"]


class Subject(Struct, frozen=True):
    """What it happened to."""

    kind: SubjectKind
    id: str


class Event(Struct, frozen=True, kw_only=True):
    """`actor_id` is the user, remoteci or feeder that did it, where that is known."""

    id: int
    created_at: str
    type: EventType
    subject: Subject
    team_id: str | None
    topic_id: str | None
    remoteci_id: str | None
    job_id: str | None
    actor_id: str | None
    data: dict[str, Any]


class Position(Struct, frozen=True):
    """`after` is where to go on; `first` and `last` are the oldest and the newest event that is kept, whoever sees it."""

    after: int
    first: int
    last: int


class EventsAnswer(Struct):
    events: list[Event]
    meta: Position = msgspec.field(name="_meta")
