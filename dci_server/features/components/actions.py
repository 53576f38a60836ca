# SPDX-License-Identifier: Apache-2.0
"""What happens when a component is created or changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from dci_server.features.components import access, queries
from dci_server.features.components.model import ChangedComponent, Component, NewComponent, derive, texts_of
from dci_server.features.topics.access import workable_for
from dci_server.features.topics.actions import require_usable
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, Record, refusing_duplicates, transaction
from dci_server.foundation.database.sql import any_of
from dci_server.foundation.errors import ApiError, Malformed, NotAuthorized, NotFound
from dci_server.foundation.events.actor import by
from dci_server.foundation.listing.values import read_moment
from dci_server.foundation.names import require_plain_name


async def require_readable(db: Connection, caller: Identity, component_id: UUID) -> Record:
    """404 for no such component, 401 for those who may not read it; a global one is read like its topic."""
    component = await queries.find_readable(db, component_id, access.readable_by(caller))
    if component is None:
        raise NotFound("component")
    if not component["is_readable"]:
        if component["team_id"] is None:
            await require_usable(db, caller, component["topic_id"])
        raise NotAuthorized
    return component


async def create_component(db: Connection, caller: Identity, new: NewComponent) -> Json[Component]:
    name, tags, released_at = _name(new), texts_of(new.tags), _moment(new.released_at)
    team_id = None if isinstance(new.team_id, UnsetType) else UUID(new.team_id)
    access.require_can_create(caller, team_id)
    require_plain_name("name", name)
    require_plain_name("type", new.type)
    derived = derive(name, new.canonical_project_name)
    display_name = derived.display_name if isinstance(new.display_name, UnsetType) else new.display_name
    with refusing_duplicates():
        facts = await queries.insert_component(
            db,
            by(caller, workable_for(caller)),
            name=name,
            display_name=display_name,
            version=new.version or derived.version,
            uid=new.uid or derived.uid,
            type=new.type.lower(),
            canonical_project_name=new.canonical_project_name,
            title=new.title,
            message=new.message,
            url=new.url,
            data=bytes(new.data),
            tags=tags,
            topic_id=UUID(new.topic_id),
            team_id=team_id,
            released_at=released_at,
            state=new.state,
        )
    if facts["topic_is_archived"]:
        raise NotFound("topic")
    if facts["component"] is None:
        raise NotAuthorized
    return Json(facts["component"])


async def change_component(
    db: Connection, caller: Identity, component_id: UUID, etag: str, values: dict[str, object]
) -> Json[Any]:
    changeable, taggable = by(caller, access.changeable_by(caller)), by(caller, access.taggable_by(caller))
    with refusing_duplicates("update"):
        if "topic_id" not in values and values.get("state") != "active":
            change = await queries.update_component(
                db, component_id, etag, values, changeable=changeable, taggable=taggable, topic=None
            )
        else:
            # The topic before the component, as whoever archives a topic has it: so the two never wait for each other.
            async with transaction(db) as connection:
                usable = workable_for(caller)
                topic = await queries.lock_topic(connection, component_id, values.get("topic_id"), usable)
                change = await queries.update_component(
                    connection, component_id, etag, values, changeable=changeable, taggable=taggable, topic=topic
                )
    return change.require("component", impossible=NotFound("topic"))


async def require_changeable(db: Connection, caller: Identity, component_id: UUID, etag: str) -> None:
    """404 for no such component or a stale etag, 401 for those who may not even change its tags."""
    allowed = any_of(access.changeable_by(caller), access.taggable_by(caller))
    component = await queries.find_changeable(db, component_id, etag, allowed)
    if component is None:
        raise NotFound("component")
    if not component["is_allowed"]:
        raise NotAuthorized


def read_changes(changes: ChangedComponent) -> dict[str, object]:
    """What is stored for what was given."""
    require_plain_name("name", changes.name)
    require_plain_name("type", changes.type)
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if isinstance(changes.type, str):
        given["type"] = changes.type.lower()
    if isinstance(changes.tags, list):
        given["tags"] = texts_of(changes.tags)
    if isinstance(changes.data, msgspec.Raw):
        given["data"] = bytes(changes.data)
    if isinstance(changes.released_at, str):
        given["released_at"] = _moment(changes.released_at)
    if isinstance(changes.topic_id, str):
        given["topic_id"] = UUID(changes.topic_id)
    return given


def _name(new: NewComponent) -> str:
    if new.name is UNSET and new.display_name is UNSET:
        raise Malformed(["the body is not valid under any of the given schemas: give name or display_name"])
    if new.name is not UNSET and new.display_name is not UNSET:
        raise Malformed(["the body is valid under each of {'required': ['display_name']}, {'required': ['name']}"])
    return new.display_name if isinstance(new.name, UnsetType) else new.name  # pyright: ignore[reportReturnType]


def _moment(given: str | UnsetType) -> datetime | None:
    if isinstance(given, UnsetType):
        return None
    moment = read_moment(given)
    if moment is None:
        raise ApiError(f"released_at is a time (2026-01-31T10:00:00); {given[:80]!r} is not")
    return moment
