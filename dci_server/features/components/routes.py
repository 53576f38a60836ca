# SPDX-License-Identifier: Apache-2.0
"""The URLs of components."""

from dci_server.features.components import access, actions, queries
from dci_server.features.components.model import (
    ComponentAnswer,
    ComponentColumnsAnswer,
    ComponentsAnswer,
    NewComponent,
)
from dci_server.features.topics.actions import require_usable
from dci_server.foundation.database.sql import all_of
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import Call, Response, answer, get, page, post

_NEWEST_RELEASE = "-released_at"


async def list_components(call: Call) -> Response:
    """The components of all topics that the caller sees, newest release first."""
    visible = access.listed_for(call.caller)
    return page(await queries.list_components(call.db, visible, call.listing(queries.COLUMNS, _NEWEST_RELEASE)))


async def list_components_of_topic(call: Call) -> Response:
    """The components of one topic, newest release first."""
    topic_id = call.id("topic_id")
    await require_usable(call.db, call.caller, topic_id)
    visible = queries.of_topic(topic_id, all_of(access.NOT_ARCHIVED, access.of_teams(call.caller)))
    return page(await queries.list_components(call.db, visible, call.listing(queries.COLUMNS, _NEWEST_RELEASE)))


async def get_component(call: Call) -> Response:
    """A component with the jobs that used it."""
    component_id, caller = call.id("component_id"), call.caller
    component = await queries.find_component(
        call.db, component_id, caller, access.NOT_ARCHIVED, access.readable_by(caller)
    )
    if component is None:
        if await queries.find_component(call.db, component_id, caller, access.NOT_ARCHIVED) is None:
            raise NotFound("component")
        raise NotAuthorized
    return answer("component", component, etag=True)


async def create_component(call: Call) -> Response:
    """A new component: of a team, or of everybody who may use the topic."""
    component = await actions.create_component(call.db, call.caller, call.body(NewComponent))
    return answer("component", component, status=201, etag=True)


routes = [
    get(
        "/topics/{topic_id:uuid}/components",
        list_components_of_topic,
        ComponentsAnswer,
        who=access.LIST_OF_TOPIC,
        listing=queries.COLUMNS,
    ),
    get("/components", list_components, ComponentsAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/components", create_component, NewComponent, ComponentColumnsAnswer, who=access.CREATE),
    get("/components/{component_id:uuid}", get_component, ComponentAnswer, who=access.READ),
]
