# SPDX-License-Identifier: Apache-2.0
"""The shapes of webhooks and deliveries."""

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.events.model import EventType
from dci_server.foundation.errors import ApiError
from dci_server.foundation.shapes import Count, Id, Status

WebhookState: TypeAlias = Literal["active", "inactive"]
DeliveryState: TypeAlias = Literal["waiting", "delivered", "failed"]

_MOST_FILTERS = 100


class Webhook(Struct, frozen=True, kw_only=True):
    """`failures` are those since the last success; `disabled_reason` says why the server made it inactive."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    team_id: str | None
    url: str
    state: WebhookState
    event_types: list[str]
    topic_ids: list[str]
    remoteci_ids: list[str]
    statuses: list[str]
    failures: int
    failing_since: str | None
    disabled_at: str | None
    disabled_reason: str | None


class WebhookWithSecret(Webhook, frozen=True, kw_only=True):
    """The secret is shown here, once, and never again."""

    secret: str


class NewWebhook(Struct, frozen=True, kw_only=True):
    """Without a team it is one of the whole hub. An empty list narrows nothing; `statuses` are those of jobs."""

    name: str
    url: str
    team_id: Id | None = None
    event_types: list[EventType] = msgspec.field(default_factory=list[EventType])
    topic_ids: list[Id] = msgspec.field(default_factory=list[Id])
    remoteci_ids: list[Id] = msgspec.field(default_factory=list[Id])
    statuses: list[Status] = msgspec.field(default_factory=list[Status])
    state: WebhookState = "active"


class ChangedWebhook(Struct, frozen=True, kw_only=True):
    """What is absent stays; the team always does. `state: active` starts anew after failures."""

    name: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    event_types: list[EventType] | UnsetType = UNSET
    topic_ids: list[Id] | UnsetType = UNSET
    remoteci_ids: list[Id] | UnsetType = UNSET
    statuses: list[Status] | UnsetType = UNSET
    state: WebhookState | UnsetType = UNSET


class Delivery(Struct, frozen=True, kw_only=True):
    """What became of one event for one webhook. `status`, `answer` and `error` are those of the last attempt."""

    id: str
    created_at: str
    webhook_id: str
    event_id: int | None
    type: str
    subject_id: str
    job_id: str | None
    state: DeliveryState
    attempts: int
    next_attempt_at: str
    give_up_at: str
    attempted_at: str | None
    duration_ms: int | None
    status: int | None
    answer: str | None
    error: str | None


class DeliveryWithBody(Delivery, frozen=True, kw_only=True):
    """With what was sent, byte for byte."""

    body: str


class WebhookAnswer(Struct):
    webhook: Webhook


class WebhookWithSecretAnswer(Struct):
    webhook: WebhookWithSecret


class WebhooksAnswer(Struct):
    webhooks: list[Webhook]
    meta: Count = msgspec.field(name="_meta")


class DeliveryAnswer(Struct):
    delivery: DeliveryWithBody


class DeliveriesAnswer(Struct):
    deliveries: list[Delivery]
    meta: Count = msgspec.field(name="_meta")


def require_few(given: NewWebhook | ChangedWebhook) -> None:
    """Each filter is looked through for each event."""
    filters = {
        "event_types": given.event_types,
        "topic_ids": given.topic_ids,
        "remoteci_ids": given.remoteci_ids,
        "statuses": given.statuses,
    }
    for name, values in filters.items():
        if values is not UNSET and len(values) > _MOST_FILTERS:
            raise ApiError(f"{name} has more than {_MOST_FILTERS} elements; leave it empty to hear of all")
