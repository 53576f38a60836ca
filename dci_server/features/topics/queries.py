# SPDX-License-Identifier: Apache-2.0
"""The SQL of topics."""

from typing import LiteralString
from uuid import UUID

import msgspec

from dci_server.features.products.queries import PRODUCT_COLUMNS
from dci_server.features.teams.queries import STATES
from dci_server.features.topics.model import NewTopic, Topic, TopicOfProduct, lower_types
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
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "component_types": Column("topics.component_types", "json"),
    "component_types_optional": Column("topics.component_types_optional", "json"),
    "created_at": Column("topics.created_at", "timestamp"),
    "data": Column("topics.data", "json", secret=True),
    "etag": Column("topics.etag", "text"),
    "export_control": Column("topics.export_control", "boolean"),
    "id": Column("topics.id", "uuid"),
    "name": Column("topics.name", "text"),
    "next_topic_id": Column("topics.next_topic_id", "uuid"),
    "product_id": Column("topics.product_id", "uuid"),
    "state": Column("topics.state", "enum", members=STATES),
    "updated_at": Column("topics.updated_at", "timestamp"),
}

TOPIC_COLUMNS: LiteralString = (
    "topics.id, topics.created_at, topics.updated_at, topics.etag, topics.name, topics.product_id, topics.next_topic_id, "
    "topics.component_types, topics.component_types_optional, topics.export_control, topics.data, topics.state"
)
TOPIC: LiteralString = (
    "select "
    + TOPIC_COLUMNS
    + """,
    (select row_to_json(p) from (select """
    + PRODUCT_COLUMNS
    + """ from products
        where products.id = topics.product_id) as p) as product,
    (select row_to_json(n) from (select id, created_at, updated_at, etag, name, product_id, next_topic_id,
        component_types, component_types_optional, export_control, data, state from topics as following
        where following.id = topics.next_topic_id) as n) as next_topic
"""
)


async def list_topics(db: Connection, visible: Condition, listing: Listing) -> Json[list[Topic]]:
    return await fetch_page(db, Topic, "topics", TOPIC, "topics", visible, listing)


async def find_topic(db: Connection, topic_id: UUID, usable: Condition) -> Json[Topic] | None:
    not_archived = Condition("topics.state <> 'archived'")
    return await fetch_one(db, Topic, TOPIC + " from topics", by_id("topics", topic_id), not_archived, usable)


async def find_state(db: Connection, topic_id: UUID, usable: Condition) -> Record | None:
    """Whether the topic can be used, and whether its product is archived; None for no such topic."""
    return await fetch_row(
        db,
        "select ("
        + usable.sql
        + """) as is_usable, products.state = 'archived' as product_is_archived
           from topics join products on products.id = topics.product_id
           where topics.id = %(id)s::uuid and topics.state <> 'archived'""",
        **usable.params,
        id=topic_id,
    )


async def insert_topic(db: Connection, new: NewTopic) -> Json[TopicOfProduct]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into topics (name, product_id, next_topic_id, component_types, component_types_optional,
                                       export_control, data, state)
                   values (%(name)s::text, %(product_id)s::uuid, %(next_topic_id)s::uuid, %(types)s::text[],
                           %(optional)s::json, %(export_control)s::boolean, %(data)s::json, %(state)s::text)
                   returning *)
               select row_to_json(t) from (select """
            + TOPIC_COLUMNS
            + " from created as topics) as t",
            name=new.name,
            product_id=new.product_id,
            next_topic_id=new.next_topic_id,
            types=lower_types(new.component_types),
            optional=msgspec.json.encode(new.component_types_optional),
            export_control=new.export_control,
            data=bytes(new.data),
            state=new.state,
        )
    )
