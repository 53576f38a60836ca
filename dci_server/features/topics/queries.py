# SPDX-License-Identifier: Apache-2.0
"""The SQL of topics."""

from typing import LiteralString
from uuid import UUID

import msgspec

from dci_server.features.products.queries import PRODUCT_COLUMNS
from dci_server.features.teams.queries import STATES
from dci_server.features.topics.model import ChangedTopic, NewTopic, Subscribed, Topic, TopicOfProduct
from dci_server.features.users.model import UserColumns
from dci_server.features.users.queries import USER_COLUMNS
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.changes import Assignments, Change, assignments, change_row
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    by_id,
    execute,
    fetch_one,
    fetch_page,
    fetch_row,
    fetch_value,
)
from dci_server.foundation.database.sql import EVERYTHING, Condition
from dci_server.foundation.events.actor import BY_ACTOR
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


def _topic_with_relations(usable: Condition) -> LiteralString:
    """`data` holds what pulls a topic's content: that of the next topic is for those who may use it too."""
    return (
        "select "
        + TOPIC_COLUMNS
        + """,
    (select row_to_json(p) from (select """
        + PRODUCT_COLUMNS
        + """ from products
        where products.id = topics.product_id) as p) as product,
    (select row_to_json(n) from (select topics.id, topics.created_at, topics.updated_at, topics.etag, topics.name,
        topics.product_id, topics.next_topic_id, topics.component_types, topics.component_types_optional,
        topics.export_control, case when """
        + usable.sql
        + """ then topics.data else '{}'::json end as data, topics.state
        from (select topics.next_topic_id as id) as following join topics using (id)) as n) as next_topic
"""
    )


async def list_topics(db: Connection, visible: Condition, usable: Condition, listing: Listing) -> Json[list[Topic]]:
    select = _topic_with_relations(usable)
    return await fetch_page(db, Topic, "topics", select, "topics", visible, listing, params=usable.params)


async def find_topic(db: Connection, topic_id: UUID, usable: Condition) -> Json[Topic] | None:
    not_archived = Condition("topics.state <> 'archived'")
    select = _topic_with_relations(usable)
    return await fetch_one(db, Topic, select + " from topics", by_id("topics", topic_id), not_archived, usable)


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


async def insert_topic(db: Connection, new: NewTopic, caller: Identity) -> Json[TopicOfProduct]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into topics (name, product_id, next_topic_id, component_types, component_types_optional,
                                       export_control, data, state)
                   select %(name)s::text, %(product_id)s::uuid, %(next_topic_id)s::uuid, %(types)s::text[],
                          %(optional)s::json, %(export_control)s::boolean, %(data)s::json, %(state)s::text
                   where """
            + BY_ACTOR
            + """ returning *)
               select row_to_json(t) from (select """
            + TOPIC_COLUMNS
            + " from created as topics) as t",
            actor_id=str(caller.id),
            name=new.name,
            product_id=new.product_id,
            next_topic_id=new.next_topic_id,
            types=[kind.lower() for kind in new.component_types],
            optional=msgspec.json.encode(new.component_types_optional),
            export_control=new.export_control,
            data=bytes(new.data),
            state=new.state,
        )
    )


_CHANGES: dict[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "product_id": "product_id = %(product_id)s::uuid",
    "next_topic_id": "next_topic_id = %(next_topic_id)s::uuid",
    "component_types": "component_types = %(component_types)s::text[]",
    "component_types_optional": "component_types_optional = %(component_types_optional)s::json",
    "export_control": "export_control = %(export_control)s::boolean",
    "data": "data = %(data)s::json",
    "state": "state = %(state)s::text",
}
_ARCHIVE_COMPONENTS: LiteralString = """, archived as (
    update components set state = 'archived', etag = new_etag(), updated_at = utc_now()
    from changed where components.topic_id = changed.id and changed.state = 'archived' and components.state <> 'archived'
)"""


async def update_topic(db: Connection, topic_id: UUID, etag: str, changes: ChangedTopic, allowed: Condition) -> Change:
    """Impossible when the next topic leads back to this one. With a topic its components are archived."""
    return await change_row(
        db,
        "topics",
        TOPIC_COLUMNS,
        topic_id,
        etag,
        _assigned(changes),
        allowed=allowed,
        possible=_leads_not_back(changes.next_topic_id) if isinstance(changes.next_topic_id, str) else EVERYTHING,
        effects=_ARCHIVE_COMPONENTS,
    )


def _assigned(changes: ChangedTopic) -> Assignments:
    changed = assignments(changes, _CHANGES)
    params = dict(changed.params)
    if isinstance(changes.component_types, list):
        params["component_types"] = [kind.lower() for kind in changes.component_types]
    if isinstance(changes.component_types_optional, list):
        params["component_types_optional"] = msgspec.json.encode(changes.component_types_optional)
    return Assignments(changed.sql, params)


def _leads_not_back(next_topic_id: str) -> Condition:
    """`union` and not `union all`: it ends even on a cycle that is there already."""
    return Condition(
        """not exists (
            with recursive following as (
                select one.id, one.next_topic_id from topics as one where one.id = %(following_id)s::uuid
                union
                select one.id, one.next_topic_id from topics as one join following on one.id = following.next_topic_id
            )
            select from following where following.id = topics.id)""",
        {"following_id": next_topic_id},
    )


async def wait_for_other_links(db: Connection) -> None:
    """Until the transaction ends nobody else links topics: two links, each harmless alone, can make a cycle."""
    await execute(db, "select pg_advisory_xact_lock(hashtext('topics.next_topic_id'))")


async def wait_for_new_components(db: Connection, topic_id: UUID) -> None:
    """Until the transaction ends the topic gets no components: those it has by then are archived with it."""
    await execute(db, "select from topics where id = %(id)s::uuid for no key update", id=topic_id)


async def is_current(db: Connection, topic_id: UUID, etag: str) -> bool:
    return await fetch_value(
        db,
        """select exists (select from topics
               where id = %(id)s::uuid and etag = %(etag)s::text and state <> 'archived')""",
        id=topic_id,
        etag=etag,
    )


async def insert_subscription(db: Connection, topic_id: UUID, user_id: UUID) -> Json[Subscribed]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into users_topics (topic_id, user_id) values (%(topic_id)s::uuid, %(user_id)s::uuid)
                   returning topic_id, user_id)
               select row_to_json(created) from created""",
            topic_id=topic_id,
            user_id=user_id,
        )
    )


async def delete_subscription(db: Connection, topic_id: UUID, user_id: UUID) -> bool:
    """Whether the topic exists; afterwards the user is not subscribed to it."""
    return await fetch_value(
        db,
        """with topic as (select id from topics where id = %(topic_id)s::uuid and state <> 'archived'),
                ended as (delete from users_topics using topic
                          where topic_id = topic.id and user_id = %(user_id)s::uuid)
           select exists (select from topic)""",
        topic_id=topic_id,
        user_id=user_id,
    )


async def list_subscriptions(db: Connection, user_id: UUID, usable: Condition) -> Json[list[TopicOfProduct]]:
    """Of the topics the user may still use: the others are no longer theirs to see."""
    return Json(
        await fetch_value(
            db,
            """select json_build_object('topics', coalesce(json_agg(row_to_json(t)), '[]'::json),
                                        '_meta', json_build_object('count', count(*)))
               from (select """
            + TOPIC_COLUMNS
            + """ from topics join users_topics on users_topics.topic_id = topics.id
                  where users_topics.user_id = %(user_id)s::uuid and topics.state <> 'archived' and """
            + usable.sql
            + " order by topics.created_at, topics.id) as t",
            **usable.params,
            user_id=user_id,
        )
    )


async def list_subscribers(db: Connection, topic_id: UUID) -> Json[list[UserColumns]] | None:
    """None when there is no such topic."""
    raw = await fetch_value(
        db,
        """select json_build_object('users', coalesce(json_agg(row_to_json(u)) filter (where u.id is not null), '[]'::json),
                                    '_meta', json_build_object('count', count(u.id)))
           from topics left join lateral (select """
        + USER_COLUMNS
        + """ from users join users_topics on users_topics.user_id = users.id
              where users_topics.topic_id = topics.id and users.state <> 'archived'
              order by users.created_at, users.id) as u on true
           where topics.id = %(topic_id)s::uuid and topics.state <> 'archived'
           group by topics.id""",
        topic_id=topic_id,
    )
    return None if raw is None else Json(raw)
