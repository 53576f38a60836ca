# SPDX-License-Identifier: Apache-2.0
"""The URLs of components."""

from dci_server.features.components import access, actions, queries
from dci_server.features.components.model import (
    ChangedComponent,
    ComponentAnswer,
    ComponentColumnsAnswer,
    ComponentsAnswer,
    NewComponent,
)
from dci_server.features.topics.actions import require_usable
from dci_server.foundation.database.sql import all_of
from dci_server.foundation.errors import ApiError, NotAuthorized
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, get, page, post, put
from dci_server.foundation.purges import purge_routes, remove_objects

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
    """A component with its files and the jobs that used it."""
    component_id, caller = call.id("component_id"), call.caller
    component = await queries.find_component(
        call.db, component_id, caller, access.NOT_ARCHIVED, access.readable_by(caller)
    )
    if component is None:
        await actions.require_readable(call.db, caller, component_id)
        raise NotAuthorized
    return answer("component", component, etag=True)


async def create_component(call: Call) -> Response:
    """A new component: of a team, or of everybody who may use the topic."""
    component = await actions.create_component(call.db, call.caller, call.body(NewComponent))
    return answer("component", component, status=201, etag=True)


async def change_component(call: Call) -> Response:
    """Changes what the body names; the rest of a component that is sent back is ignored."""
    component_id, etag = call.id("component_id"), call.etag()
    try:
        values = actions.read_changes(call.body(ChangedComponent, closed=False))
    except ApiError:
        await actions.require_changeable(call.db, call.caller, component_id, etag)
        raise
    component = await actions.change_component(call.db, call.caller, component_id, etag, values)
    return answer("component", component, etag=True)


async def delete_component(call: Call) -> Response:
    """Archives the component; jobs keep it."""
    archived: dict[str, object] = {"state": "archived"}
    await actions.change_component(call.db, call.caller, call.id("component_id"), call.etag(), archived)
    return NO_CONTENT


async def _give_bytes_back(call: Call) -> None:
    await queries.delete_archived_files(call.db)
    await remove_objects(call)


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
    put(
        "/components/{component_id:uuid}", change_component, ChangedComponent, ComponentColumnsAnswer, who=access.CHANGE
    ),
    delete("/components/{component_id:uuid}", delete_component, who=access.DELETE),
    *purge_routes(
        "components",
        queries.COMPONENT_COLUMNS,
        ComponentsAnswer,
        after=_give_bytes_back,
        size="""select coalesce(sum(component_files.size), 0) from component_files
                where component_files.component_id in (select id from purged) or component_files.state = 'archived'""",
    ),
]
