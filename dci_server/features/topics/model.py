# SPDX-License-Identifier: Apache-2.0
"""The shapes of a topic."""

from typing import Any

import msgspec
from msgspec import Struct

from dci_server.features.products.model import ProductColumns, TopicOfProduct
from dci_server.features.teams.model import Count
from dci_server.foundation.errors import ApiError
from dci_server.foundation.shapes import Id, JsonObject, State, empty_object

TopicColumns = TopicOfProduct


class Topic(TopicOfProduct, frozen=True, kw_only=True):
    product: ProductColumns
    next_topic: TopicOfProduct | None


class NewTopic(Struct, frozen=True, kw_only=True):
    name: str
    product_id: Id
    next_topic_id: Id | None = None
    component_types: list[Any] = msgspec.field(default_factory=list[Any])
    component_types_optional: list[Any] = msgspec.field(default_factory=list[Any])
    export_control: bool = False
    data: JsonObject = msgspec.field(default_factory=empty_object)
    state: State = "active"


class TopicAnswer(Struct):
    topic: Topic


class TopicColumnsAnswer(Struct):
    topic: TopicOfProduct


class TopicsAnswer(Struct):
    topics: list[Topic]
    meta: Count = msgspec.field(name="_meta")


def lower_types(given: list[Any]) -> list[str]:
    """Types are compared in lower case."""
    types: list[str] = []
    for kind in given:
        if not isinstance(kind, str):
            raise ApiError(f"component_types are texts; {kind!r} is not")
        types.append(kind.lower())
    return types
