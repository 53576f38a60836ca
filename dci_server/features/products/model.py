# SPDX-License-Identifier: Apache-2.0
"""The shapes of a product."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.teams.model import Count, TeamColumns
from dci_server.foundation.shapes import Id, State


class ProductColumns(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    label: str
    description: str | None
    state: State


class TopicOfProduct(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    product_id: str
    next_topic_id: str | None
    component_types: list[str]
    component_types_optional: list[Any]
    export_control: bool
    data: dict[str, Any]
    state: State


class Product(ProductColumns, frozen=True, kw_only=True):
    topics: list[TopicOfProduct]


class NewProduct(Struct, frozen=True, kw_only=True):
    name: str
    label: str | None = None
    description: str | None = None
    state: State = "active"


class ChangedProduct(Struct, frozen=True, kw_only=True):
    """PUT /products/<id>: a client may send back the whole product; only these change."""

    name: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    state: State | UnsetType = UNSET


class TeamToAttach(Struct, frozen=True, kw_only=True):
    team_id: Id


class Attached(Struct, frozen=True):
    product_id: str
    team_id: str


class ProductAnswer(Struct):
    product: Product


class ProductColumnsAnswer(Struct):
    product: ProductColumns


class ProductsAnswer(Struct):
    products: list[Product]
    meta: Count = msgspec.field(name="_meta")


class ProductsColumnsAnswer(Struct):
    products: list[ProductColumns]
    meta: Count = msgspec.field(name="_meta")


class TeamsOfProductAnswer(Struct):
    teams: list[TeamColumns]
    meta: Count = msgspec.field(name="_meta")
