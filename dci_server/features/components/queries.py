# SPDX-License-Identifier: Apache-2.0
"""The SQL of components."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.components.model import Component, ComponentWithJobs
from dci_server.features.teams.queries import STATES
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.changes import Assignments, Change, change_row
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    by_id,
    execute,
    fetch_one,
    fetch_page,
    fetch_row,
)
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of, any_of
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

_TEXTS: dict[str, LiteralString] = {
    "canonical_project_name": "components.canonical_project_name",
    "display_name": "components.display_name",
    "etag": "components.etag",
    "message": "components.message",
    "name": "components.name",
    "title": "components.title",
    "type": "components.type",
    "uid": "components.uid",
    "url": "components.url",
    "version": "components.version",
}
COLUMNS: Columns = {
    **{name: Column(sql, "text") for name, sql in _TEXTS.items()},
    "created_at": Column("components.created_at", "timestamp"),
    "data": Column("components.data", "json", secret=True),
    "id": Column("components.id", "uuid"),
    "released_at": Column("components.released_at", "timestamp"),
    "state": Column("components.state", "enum", members=STATES),
    "tags": Column("components.tags", "array"),
    "team_id": Column("components.team_id", "uuid"),
    "topic_id": Column("components.topic_id", "uuid"),
    "updated_at": Column("components.updated_at", "timestamp"),
}

COMPONENT_COLUMNS: LiteralString = (
    "components.id, components.created_at, components.updated_at, components.released_at, components.etag, "
    "components.name, components.display_name, components.canonical_project_name, components.version, components.uid, "
    "components.type, components.title, components.message, components.url, components.data, components.tags, "
    "components.topic_id, components.team_id, components.state"
)
FILE_COLUMNS: LiteralString = (
    "component_files.id, component_files.created_at, component_files.updated_at, component_files.etag, "
    "component_files.name, component_files.mime, component_files.md5, component_files.size, "
    "component_files.component_id, component_files.state"
)
_COMPONENT: LiteralString = "select " + COMPONENT_COLUMNS
_MOST_JOBS = 200
_COMPONENT_WITH_JOBS: LiteralString = (
    _COMPONENT
    + """,
    (select coalesce(json_agg(row_to_json(f)), '[]'::json) from (select """
    + FILE_COLUMNS
    + """ from component_files
        where component_files.component_id = components.id and component_files.state <> 'archived'
        order by component_files.created_at, component_files.id) as f) as files,
    (select coalesce(json_agg(row_to_json(j)), '[]'::json) from (
        select jobs.id, jobs.created_at, jobs.updated_at, jobs.etag, jobs.name, jobs.comment, jobs.configuration,
               jobs.status_reason, jobs.url, jobs.status, jobs.state, jobs.duration, jobs.tags, jobs.data, jobs.topic_id,
               jobs.product_id, jobs.remoteci_id, jobs.team_id, jobs.pipeline_id, jobs.previous_job_id,
               jobs.update_previous_job_id, jobs.user_agent, jobs.client_version
        from jobs join jobs_components on jobs_components.job_id = jobs.id
        where jobs_components.component_id = components.id and jobs.state <> 'archived'
              and (%(reads_all)s::boolean or jobs.team_id = any(%(own_team_ids)s::uuid[]))
        order by jobs.created_at desc, jobs.id desc limit %(most_jobs)s::integer) as j) as jobs
    from components
"""
)


async def list_components(db: Connection, visible: Condition, listing: Listing) -> Json[list[Component]]:
    return await fetch_page(db, Component, "components", _COMPONENT, "components", visible, listing)


def of_topic(topic_id: UUID, visible: Condition) -> Condition:
    return all_of(Condition("components.topic_id = %(topic_id)s::uuid", {"topic_id": topic_id}), visible)


async def find_component(
    db: Connection, component_id: UUID, caller: Identity, *conditions: Condition
) -> Json[ComponentWithJobs] | None:
    """With the newest 200 jobs that used it, of those the caller may see."""
    return await fetch_one(
        db,
        ComponentWithJobs,
        _COMPONENT_WITH_JOBS,
        by_id("components", component_id),
        *conditions,
        reads_all=caller.reads_everything,
        own_team_ids=list(caller.team_ids),
        most_jobs=_MOST_JOBS,
    )


async def find_readable(db: Connection, component_id: UUID, readable: Condition) -> Record | None:
    """What decides about reading it, and what its files are found by."""
    return await fetch_row(
        db,
        "select components.id, components.topic_id, components.team_id, components.display_name, components.tags, ("
        + readable.sql
        + ") as is_readable from components where components.id = %(id)s::uuid and components.state <> 'archived'",
        **readable.params,
        id=component_id,
    )


async def insert_component(db: Connection, usable_topic: Condition, **values: object) -> Record:
    """What is known of the topic, and the component unless the topic is archived or not the caller's to use.

    The topic is locked: should somebody archive it, then after this component, or before it.
    """
    row = await fetch_row(
        db,
        "with topic as (select topics.state, ("
        + usable_topic.sql
        + """) as is_usable from topics
                  where topics.id = %(topic_id)s::uuid for share of topics),
           created as (
               insert into components (name, display_name, version, uid, type, canonical_project_name, title, message, url,
                                       data, tags, topic_id, team_id, released_at, state)
               select %(name)s::text, %(display_name)s::text, %(version)s::text, %(uid)s::text, %(type)s::text,
                      %(canonical_project_name)s::text, %(title)s::text, %(message)s::text, %(url)s::text,
                      %(data)s::json, %(tags)s::text[], %(topic_id)s::uuid, %(team_id)s::uuid,
                      coalesce(%(released_at)s::timestamp, utc_now()), %(state)s::text
               where not exists (select from topic where topic.state = 'archived' or not topic.is_usable)
               returning *)
           select exists (select from topic where topic.state = 'archived') as topic_is_archived,
                  (select row_to_json(c) from (select """
        + COMPONENT_COLUMNS
        + " from created as components) as c) as component",
        **usable_topic.params,
        **values,
    )
    assert row is not None
    return row


_CHANGES: dict[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "display_name": "display_name = %(display_name)s::text",
    "canonical_project_name": "canonical_project_name = %(canonical_project_name)s::text",
    "version": "version = %(version)s::text",
    "type": "type = %(type)s::text",
    "title": "title = %(title)s::text",
    "message": "message = %(message)s::text",
    "url": "url = %(url)s::text",
    "data": "data = %(data)s::json",
    "tags": "tags = %(tags)s::text[]",
    "topic_id": "topic_id = %(topic_id)s::uuid",
    "released_at": "released_at = %(released_at)s::timestamp",
    "state": "state = %(state)s::text",
}
# What a caller who may change the tags and nothing else may still send: the values that are there (decision 5).
_UNCHANGED: dict[str, LiteralString] = {
    "name": "components.name = %(name)s::text",
    "display_name": "components.display_name = %(display_name)s::text",
    "canonical_project_name": "components.canonical_project_name = %(canonical_project_name)s::text",
    "version": "components.version = %(version)s::text",
    "type": "components.type = %(type)s::text",
    "title": "components.title = %(title)s::text",
    "message": "components.message = %(message)s::text",
    "url": "components.url = %(url)s::text",
    "data": "components.data::jsonb = %(data)s::json::jsonb",
    "topic_id": "components.topic_id = %(topic_id)s::uuid",
    "released_at": "components.released_at = %(released_at)s::timestamp",
    "state": "components.state = %(state)s::text",
}


async def update_component(
    db: Connection,
    component_id: UUID,
    etag: str,
    values: dict[str, object],
    *,
    changeable: Condition,
    taggable: Condition,
    topic: Record | None,
) -> Change:
    """`topic` is where the component will be, from `lock_topic`, or None for one that does not exist or matters not."""
    unchanged: LiteralString = " and ".join(["true", *(_UNCHANGED[name] for name in values if name in _UNCHANGED)])
    # "is true", because a null that is stored equals nothing that can be sent.
    retags = all_of(taggable, Condition("(" + unchanged + ") is true"))
    allowed, possible = any_of(changeable, retags), EVERYTHING
    if topic is not None:
        stays: LiteralString = "components.topic_id = %(to_topic_id)s::uuid"
        if not topic["is_usable"]:
            allowed = all_of(allowed, Condition(stays))
        if topic["is_archived"]:
            same_state: LiteralString = "components.state = coalesce(%(to_state)s::text, components.state)"
            possible = Condition("(" + stays + " and " + same_state + ")")
    return await change_row(
        db,
        "components",
        COMPONENT_COLUMNS,
        component_id,
        etag,
        Assignments([_CHANGES[name] for name in values], values),
        allowed=allowed,
        possible=possible,
        params={"to_topic_id": topic["id"] if topic else None, "to_state": values.get("state")},
    )


async def lock_topic(db: Connection, component_id: UUID, topic_id: object, usable: Condition) -> Record | None:
    """The topic with this id, or that of the component: until the transaction ends nobody archives it."""
    return await fetch_row(
        db,
        "select topics.id, topics.state = 'archived' as is_archived, ("
        + usable.sql
        + """) as is_usable from topics
           where topics.id = coalesce(%(topic_id)s::uuid, (select components.topic_id from components
                                                           where components.id = %(id)s::uuid))
           for share of topics""",
        **usable.params,
        id=component_id,
        topic_id=topic_id,
    )


async def find_changeable(db: Connection, component_id: UUID, etag: str, allowed: Condition) -> Record | None:
    """Whether the caller may change it; None when there is none with this etag."""
    return await fetch_row(
        db,
        "select ("
        + allowed.sql
        + """) as is_allowed from components
           where components.id = %(id)s::uuid and components.etag = %(etag)s::text and components.state <> 'archived'""",
        **allowed.params,
        id=component_id,
        etag=etag,
    )


async def delete_archived_files(db: Connection) -> None:
    """Those of components that stay: no other purge takes them."""
    await execute(db, "delete from component_files where state = 'archived'")
