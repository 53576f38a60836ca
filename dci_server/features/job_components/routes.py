# SPDX-License-Identifier: Apache-2.0
"""The URLs of a job's components."""

from uuid import UUID

from dci_server.features.job_components import queries
from dci_server.features.job_components.access import usable_by
from dci_server.features.job_components.model import ComponentsOfJobAnswer, ComponentToAttach
from dci_server.features.jobs import access
from dci_server.foundation.database.connection import Record
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import Call, Response, Route, get, page, post


async def list_components(call: Call) -> Response:
    """What the job ran with."""
    components = await queries.list_components(call.db, call.id("job_id"), access.visible_to(call.caller))
    if components is None:
        raise NotFound("job")
    return page(components)


async def attach_component(call: Call) -> Response:
    """The job ran with this one too; repeating it changes nothing."""
    wanted = call.body(ComponentToAttach)
    changeable, usable = access.changeable_by(call.caller), usable_by(call.caller)
    facts = await queries.attach_component(call.db, call.id("job_id"), UUID(wanted.id), changeable, usable)
    _require(facts)
    return Response(201)


async def detach_component(call: Call) -> Response:
    """Takes a component off the job; 201 too when it was not attached."""
    changeable = access.changeable_by(call.caller)
    _require(await queries.detach_component(call.db, call.id("job_id"), call.id("component_id"), changeable))
    # quirk: 201 and not 204, because clients compare with it (jobs.md §8).
    return Response(201)


def _require(facts: Record) -> None:
    if not facts["job_is_known"]:
        raise NotFound("job")
    if not facts["component_is_known"]:
        raise NotFound("component")
    if not facts["is_allowed"]:
        raise NotAuthorized


routes = [
    get("/jobs/{job_id:uuid}/components", list_components, ComponentsOfJobAnswer, who=access.READ),
    post("/jobs/{job_id:uuid}/components", attach_component, ComponentToAttach, None, who=access.CHANGE),
    Route(
        "DELETE",
        "/jobs/{job_id:uuid}/components/{component_id:uuid}",
        detach_component,
        access.CHANGE,
        answers={201: None},
    ),
]
