# SPDX-License-Identifier: Apache-2.0
"""The SQL of components."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.components.model import Component, ComponentWithJobs
from dci_server.features.teams.queries import STATES
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    by_id,
    fetch_one,
    fetch_page,
    fetch_value,
)
from dci_server.foundation.database.sql import Condition, all_of
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
_COMPONENT: LiteralString = "select " + COMPONENT_COLUMNS
_MOST_JOBS = 200
_COMPONENT_WITH_JOBS: LiteralString = (
    _COMPONENT
    + """, '[]'::json as files,
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


async def insert_component(db: Connection, **values: object) -> Json[Component] | None:
    """None when the topic is archived."""
    raw = await fetch_value(
        db,
        """with created as (
               insert into components (name, display_name, version, uid, type, canonical_project_name, title, message, url,
                                       data, tags, topic_id, team_id, released_at, state)
               select %(name)s::text, %(display_name)s::text, %(version)s::text, %(uid)s::text, %(type)s::text,
                      %(canonical_project_name)s::text, %(title)s::text, %(message)s::text, %(url)s::text,
                      %(data)s::json, %(tags)s::text[], %(topic_id)s::uuid, %(team_id)s::uuid,
                      coalesce(%(released_at)s::timestamp, utc_now()), %(state)s::text
               where not exists (select from topics where id = %(topic_id)s::uuid and state = 'archived')
               returning *)
           select row_to_json(c) from (select """
        + COMPONENT_COLUMNS
        + " from created as components) as c",
        **values,
    )
    return None if raw is None else Json(raw)
