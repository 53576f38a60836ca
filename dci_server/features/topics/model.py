# SPDX-License-Identifier: Apache-2.0
"""The shapes of a topic."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.products.model import ProductColumns, TopicOfProduct
from dci_server.features.teams.model import Count
from dci_server.features.users.model import UserColumns
from dci_server.foundation.shapes import Id, JsonObject, State, empty_object

TopicColumns = TopicOfProduct


class Topic(TopicOfProduct, frozen=True, kw_only=True):
    product: ProductColumns
    next_topic: TopicOfProduct | None


class NewTopic(Struct, frozen=True, kw_only=True):
    name: str
    product_id: Id
    next_topic_id: Id | None = None
    component_types: list[str] = msgspec.field(default_factory=list[str])
    component_types_optional: list[Any] = msgspec.field(default_factory=list[Any])
    export_control: bool = False
    data: JsonObject = msgspec.field(default_factory=empty_object)
    state: State = "active"


class ChangedTopic(Struct, frozen=True, kw_only=True):
    """PUT /topics/<id>: a client may send back the whole topic; only these change."""

    name: str | UnsetType = UNSET
    product_id: Id | UnsetType = UNSET
    next_topic_id: Id | UnsetType | None = UNSET
    component_types: list[str] | UnsetType = UNSET
    component_types_optional: list[Any] | UnsetType = UNSET
    export_control: bool | UnsetType = UNSET
    data: JsonObject | UnsetType = UNSET
    state: State | UnsetType = UNSET


class Subscribed(Struct, frozen=True):
    topic_id: str
    user_id: str


class SubscribersAnswer(Struct):
    users: list[UserColumns]
    meta: Count = msgspec.field(name="_meta")


class TopicAnswer(Struct):
    topic: Topic


class TopicColumnsAnswer(Struct):
    topic: TopicOfProduct


class TopicsAnswer(Struct):
    topics: list[Topic]
    meta: Count = msgspec.field(name="_meta")


class TopicsColumnsAnswer(Struct):
    topics: list[TopicOfProduct]
    meta: Count = msgspec.field(name="_meta")
