# SPDX-License-Identifier: Apache-2.0
"""What happens when a job is created, changed, deleted. A refusal leaves nothing behind."""

from uuid import UUID

from msgspec import UNSET

from dci_server.features.jobs import access, queries
from dci_server.features.jobs.creation import insert_job
from dci_server.features.jobs.model import ChangedJob, JobColumns, NewJob, ScheduledJob
from dci_server.features.topics.access import usable_by
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json, Record
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound, PreconditionFailed
from dci_server.foundation.shapes import clean_tags

_NOT_CREATED = "We are unable to create this resource. Please contact a DCI administrator."
_LONGEST_CLIENT_TEXT = 255


async def create_job(
    db: Connection, caller: Identity, new: NewJob, user_agent: str, client_version: str
) -> Json[JobColumns]:
    """Creates a job with the components that are named (jobs.md §3)."""
    _require_remoteci(caller)
    if new.topic_id is None:
        raise NotFound("topic")
    facts = await insert_job(
        db,
        **_of_caller(caller, user_agent, client_version),
        topic_id=UUID(new.topic_id),
        components=_component_ids(new.components),
        newest=False,
        strict=False,
        any_state=False,
        name=new.name,
        comment=new.comment,
        configuration=new.configuration,
        status_reason=new.status_reason,
        url=new.url,
        state=_state_at_creation(new.state),
        tags=clean_tags(new.tags),
        data=bytes(new.data),
        previous_job_id=new.previous_job_id,
        update_previous_job_id=new.update_previous_job_id,
        pipeline_id=new.pipeline_id,
    )
    return _created(facts, caller.id, new.topic_id)


async def schedule_job(
    db: Connection, caller: Identity, new: ScheduledJob, user_agent: str, client_version: str
) -> Json[JobColumns]:
    """Creates a job with the newest components of the topic, or with those named (jobs.md §4)."""
    _require_remoteci(caller)
    components = _component_ids(new.components_ids)
    facts = await insert_job(
        db,
        **_of_caller(caller, user_agent, client_version),
        topic_id=UUID(new.topic_id),
        components=components,
        newest=not components,
        strict=bool(components),
        any_state=False,
        name=new.name or "",
        comment=new.comment or "",
        configuration=new.configuration or "",
        status_reason="",
        url=new.url or "",
        state=_state_at_creation(new.state),
        tags=clean_tags(new.tags),
        data=bytes(new.data),
        previous_job_id=new.previous_job_id,
        update_previous_job_id=None,
        pipeline_id=new.pipeline_id,
    )
    return _created(facts, caller.id, new.topic_id)


async def update_job(
    db: Connection, caller: Identity, job_id: UUID, user_agent: str, client_version: str
) -> Json[JobColumns]:
    """The same topic again, with its newest components (jobs.md §5)."""
    before = await _predecessor(db, caller, job_id)
    return await _follow(db, caller, job_id, before, before.topic_id, job_id, user_agent, client_version)


async def upgrade_job(
    db: Connection, caller: Identity, job_id: UUID, user_agent: str, client_version: str
) -> Json[JobColumns]:
    """The topic that comes next, with its newest components (jobs.md §6)."""
    before = await _predecessor(db, caller, job_id)
    if before.next_topic_id is None:
        raise ApiError(f"topic {before.topic_id} does not contains a next topic")
    return await _follow(db, caller, job_id, before, before.next_topic_id, None, user_agent, client_version)


async def _predecessor(db: Connection, caller: Identity, job_id: UUID) -> queries.Predecessor:
    found = await queries.find_predecessor(db, job_id)
    if found is None:
        raise NotFound("job")
    access.CHANGE.require_for_team(caller, found.team_id)
    return found


async def _follow(
    db: Connection,
    caller: Identity,
    job_id: UUID,
    before: queries.Predecessor,
    topic_id: UUID,
    updated_job_id: UUID | None,
    user_agent: str,
    client_version: str,
) -> Json[JobColumns]:
    """On the same remoteci. Whoever may change the job may follow it up, whatever became of topic and remoteci."""
    facts = await insert_job(
        db,
        **{
            **_of_caller(caller, user_agent, client_version),
            "remoteci_id": before.remoteci_id,
            "any_topic": True,
            "reads_all": True,
        },
        topic_id=topic_id,
        components=[],
        newest=True,
        strict=False,
        any_state=True,
        name="",
        comment="",
        configuration="",
        status_reason="",
        url="",
        state="active",
        tags=[],
        data=b"{}",
        previous_job_id=job_id,
        update_previous_job_id=updated_job_id,
        pipeline_id=None,
    )
    return _created(facts, before.remoteci_id, str(topic_id), any_state=True)


async def change_job(
    db: Connection, caller: Identity, job_id: UUID, etag: str, changes: ChangedJob
) -> Json[JobColumns]:
    tags = None if changes.tags is UNSET else clean_tags(changes.tags)
    facts = await queries.update_job(
        db, job_id, etag, changes, tags, access.changeable_by(caller), usable_by(caller)
    )  # fmt: skip
    return _changed(facts)


async def delete_job(db: Connection, caller: Identity, job_id: UUID, etag: str) -> None:
    facts = await queries.archive_job(db, job_id, etag, access.changeable_by(caller), usable_by(caller))
    _changed(facts)


def _changed(facts: Record) -> Json[JobColumns]:
    if not facts["is_known"]:
        raise NotFound("job")
    if not facts["is_changeable"]:
        raise NotAuthorized
    if facts["job"] is None:
        # quirk: an etag that does not match is a job that was not found (conventions §5).
        raise NotFound("job")
    return Json(facts["job"])


def _require_remoteci(caller: Identity) -> None:
    if caller.kind != "remoteci":
        raise ApiError("Only remoteci can create job")
    if caller.is_read_only:
        raise NotAuthorized


def _of_caller(caller: Identity, user_agent: str, client_version: str) -> dict[str, object]:
    if max(len(user_agent), len(client_version)) > _LONGEST_CLIENT_TEXT:
        raise ApiError(_NOT_CREATED + " User-Agent and Client-Version have at most 255 characters.")
    return {
        "remoteci_id": caller.id,
        "team_ids": list(caller.team_ids),
        "pre_release": caller.has_pre_release_access,
        "any_topic": caller.reads_everything,
        "reads_all": caller.reads_everything,
        "actor_id": str(caller.id),
        "user_agent": user_agent,
        "client_version": client_version,
    }


def _state_at_creation(state: str) -> str:
    if state == "archived":
        raise ApiError("a job can't be created archived; create it active, delete it afterwards")
    return state


def _component_ids(given: list[object]) -> list[UUID]:
    ids: list[UUID] = []
    for value in given:
        try:
            ids.append(UUID(value if isinstance(value, str) else ""))
        except ValueError:
            raise ApiError(f"a component id is not a UUID: {str(value)[:100]!r}") from None
    return ids


def _created(facts: Record, remoteci_id: UUID, topic_id: str, *, any_state: bool = False) -> Json[JobColumns]:
    """The job, or the first thing that spoke against it, in the order of jobs.md §3 and §4."""
    _require_remoteci_state(facts["remoteci_state"], remoteci_id, any_state=any_state)
    _require_topic(facts, topic_id, any_state=any_state)
    if not facts["previous_is_visible"] or not facts["update_previous_is_visible"]:
        raise NotFound("job")
    if not facts["pipeline_is_visible"]:
        raise NotFound("pipeline")
    if facts["component_is_missing"]:
        raise NotFound("component")
    if facts["component_is_foreign"]:
        raise NotAuthorized
    _require_selection(facts)
    return Json(facts["job"])


def _require_remoteci_state(state: str | None, remoteci_id: UUID, *, any_state: bool) -> None:
    if state is None:
        raise NotFound("remoteci")
    if state != "active" and not any_state:
        raise PreconditionFailed(f'RemoteCI "{remoteci_id}" is disabled.')


def _require_topic(facts: Record, topic_id: str, *, any_state: bool) -> None:
    if facts["topic_state"] is None:
        raise NotFound("topic")
    if facts["topic_state"] != "active" and not any_state:
        raise PreconditionFailed(f"Topic {topic_id}:{facts['topic_name']} not active.")
    if facts["product_is_archived"]:
        raise NotFound("product")
    if not facts["topic_is_usable"]:
        raise NotAuthorized


def _require_selection(facts: Record) -> None:
    types: list[str] = list(facts["component_types"])
    if facts["type_listed_twice"] is not None:
        raise PreconditionFailed(f"Component types {types} malformed: type {facts['type_listed_twice']} duplicated.")
    if facts["type_without_component"] is not None:
        missing = facts["type_without_component"]
        raise PreconditionFailed(f'Component of type "{missing}" not found or not exported.')
    if facts["number_differs"]:
        raise PreconditionFailed(f"The number of component ids does not match the number of component types {types}")
    if facts["component_not_of_topic"] is not None:
        raise ComponentNotExported(facts["component_not_of_topic"])
    if facts["type_given_twice"] is not None:
        raise PreconditionFailed(f"Component types malformed: type {facts['type_given_twice']} duplicated.")


class ComponentNotExported(NotFound):
    """A component that is not an active one of the topic (jobs.md §4.1)."""

    def __init__(self, component_id: UUID) -> None:
        super().__init__("component")
        self.message = f"component id {component_id} not found or not exported"
