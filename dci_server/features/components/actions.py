# SPDX-License-Identifier: Apache-2.0
"""What happens when a component is created."""

from datetime import datetime
from uuid import UUID

from msgspec import UNSET, UnsetType

from dci_server.features.components import access, queries
from dci_server.features.components.model import Component, NewComponent, derive
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, refusing_duplicates
from dci_server.foundation.errors import ApiError, Malformed, NotFound
from dci_server.foundation.listing.values import read_moment
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.shapes import clean_tags


async def create_component(db: Connection, caller: Identity, new: NewComponent) -> Json[Component]:
    name = _name(new)
    team_id = None if isinstance(new.team_id, UnsetType) else UUID(new.team_id)
    access.require_can_create(caller, team_id)
    require_plain_name("name", name)
    require_plain_name("type", new.type)
    derived = derive(name, new.canonical_project_name)
    display_name = derived.display_name if isinstance(new.display_name, UnsetType) else new.display_name
    with refusing_duplicates():
        component = await queries.insert_component(
            db,
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
            tags=_tags(new.tags),
            topic_id=UUID(new.topic_id),
            team_id=team_id,
            released_at=_released_at(new.released_at),
            state=new.state,
        )
    if component is None:
        raise NotFound("topic")
    return component


def _name(new: NewComponent) -> str:
    if new.name is UNSET and new.display_name is UNSET:
        raise Malformed(["the body is not valid under any of the given schemas: give name or display_name"])
    if new.name is not UNSET and new.display_name is not UNSET:
        raise Malformed(["the body is valid under each of {'required': ['display_name']}, {'required': ['name']}"])
    return new.display_name if isinstance(new.name, UnsetType) else new.name  # pyright: ignore[reportReturnType]


def _tags(given: list[object]) -> list[str]:
    """Unlike a job's, blank tags stay (resources.md §6.1)."""
    if all(isinstance(tag, str) for tag in given):
        return [str(tag) for tag in given]
    return clean_tags(given)


def _released_at(given: str | UnsetType) -> datetime | None:
    if isinstance(given, UnsetType):
        return None
    moment = read_moment(given)
    if moment is None:
        raise ApiError(f"released_at is a time (2026-01-31T10:00:00); {given[:80]!r} is not")
    return moment
