# SPDX-License-Identifier: Apache-2.0
"""The URLs of topics."""

from dci_server.features.topics import access, actions, queries
from dci_server.features.topics.model import (
    ChangedTopic,
    NewTopic,
    Subscribed,
    SubscribersAnswer,
    TopicAnswer,
    TopicColumnsAnswer,
    TopicsAnswer,
    TopicsColumnsAnswer,
)
from dci_server.foundation.database.connection import refusing_duplicates
from dci_server.foundation.errors import ApiError, Conflict, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, get, page, post, put
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.purges import purge_routes, remove_objects


async def list_topics(call: Call) -> Response:
    """The topics of the caller's products."""
    visible, usable = access.visible_to(call.caller), access.usable_by(call.caller)
    return page(await queries.list_topics(call.db, visible, usable, call.listing(queries.COLUMNS)))


async def get_topic(call: Call) -> Response:
    """A topic with its product and the topic that follows it."""
    topic = await queries.find_topic(call.db, call.id("topic_id"), access.usable_by(call.caller))
    if topic is None:
        await actions.require_usable(call.db, call.caller, call.id("topic_id"))
        raise NotFound("topic")
    return answer("topic", topic, etag=True)


async def create_topic(call: Call) -> Response:
    """A new topic of a product."""
    new = call.body(NewTopic)
    access.CREATE.require(call.caller)
    require_plain_name("name", new.name)
    with refusing_duplicates():
        topic = await queries.insert_topic(call.db, new, call.caller)
    return answer("topic", topic, status=201, etag=True)


async def change_topic(call: Call) -> Response:
    """Changes what the body names; the rest of a topic that is sent back is ignored."""
    access.CHANGE.require(call.caller)
    topic_id, etag = call.id("topic_id"), call.etag()
    try:
        changes = call.body(ChangedTopic, closed=False)
        require_plain_name("name", changes.name)
    except ApiError:
        await actions.require_current(call.db, topic_id, etag)
        raise
    if changes.state == "archived":
        access.DELETE.require(call.caller)
    return answer("topic", await actions.change_topic(call.db, call.caller, topic_id, etag, changes), etag=True)


async def delete_topic(call: Call) -> Response:
    """Archives the topic and its components."""
    access.DELETE.require(call.caller)
    await actions.change_topic(call.db, call.caller, call.id("topic_id"), call.etag(), ChangedTopic(state="archived"))
    return NO_CONTENT


async def subscribe(call: Call) -> Response:
    """From now on the caller is told by mail of new components of the topic."""
    topic_id, caller = call.id("topic_id"), call.caller
    await actions.require_usable(call.db, caller, topic_id)
    if caller.kind != "user":
        raise Conflict(_NOT_TWICE, {"error": {"user_id": "only users can subscribe"}})
    with refusing_duplicates():
        subscribed = await queries.insert_subscription(call.db, topic_id, caller.id)
    return Response(201, subscribed.raw)


async def unsubscribe(call: Call) -> Response:
    """Ends the caller's subscription; 204 too when there was none (decision 50)."""
    if not await queries.delete_subscription(call.db, call.id("topic_id"), call.caller.id):
        raise NotFound("topic")
    return NO_CONTENT


async def list_subscriptions(call: Call) -> Response:
    """The topics that the caller is subscribed to."""
    usable = access.usable_by(call.caller)
    return page(await queries.list_subscriptions(call.db, call.caller.id, usable))


async def list_subscribers(call: Call) -> Response:
    """The users that are told of new components of the topic."""
    access.LIST_SUBSCRIBERS.require(call.caller)
    subscribers = await queries.list_subscribers(call.db, call.id("topic_id"))
    if subscribers is None:
        raise NotFound("topic")
    return page(subscribers)


# quirk: a remoteci or feeder that may use the topic is told the same: it is no user who could be subscribed.
_NOT_TWICE = "We are unable to create this resource. A similar resource already exists."

routes = [
    get("/topics", list_topics, TopicsAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/topics", create_topic, NewTopic, TopicColumnsAnswer, who=access.CREATE),
    get("/topics/{topic_id:uuid}", get_topic, TopicAnswer, who=access.USE),
    put("/topics/{topic_id:uuid}", change_topic, ChangedTopic, TopicColumnsAnswer, who=access.CHANGE),
    delete("/topics/{topic_id:uuid}", delete_topic, who=access.DELETE),
    *purge_routes(
        "topics",
        queries.TOPIC_COLUMNS,
        TopicsColumnsAnswer,
        after=remove_objects,
        jobs="jobs.topic_id in (select id from topics where state = 'archived')",
        referring="""select from topics join topics as next on next.id = topics.next_topic_id
                     where next.state = 'archived' and topics.state <> 'archived'""",
        size="""select coalesce(sum(component_files.size), 0)
                from component_files join components on components.id = component_files.component_id
                where components.topic_id in (select id from purged)""",
    ),
    get("/topics/notifications", list_subscriptions, TopicsColumnsAnswer, who=access.LIST_SUBSCRIPTIONS),
    post("/topics/{topic_id:uuid}/notifications", subscribe, None, Subscribed, who=access.SUBSCRIBE),
    delete("/topics/{topic_id:uuid}/notifications", unsubscribe, who=access.UNSUBSCRIBE, needs_etag=False),
    get(
        "/topics/{topic_id:uuid}/notifications/users",
        list_subscribers,
        SubscribersAnswer,
        who=access.LIST_SUBSCRIBERS,
    ),
]
