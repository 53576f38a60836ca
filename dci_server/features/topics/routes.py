# SPDX-License-Identifier: Apache-2.0
"""The URLs of topics."""

from dci_server.features.topics import access, actions, queries
from dci_server.features.topics.model import NewTopic, TopicAnswer, TopicColumnsAnswer, TopicsAnswer
from dci_server.foundation.database.connection import refusing_duplicates
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import Call, Response, answer, get, page, post
from dci_server.foundation.names import require_plain_name


async def list_topics(call: Call) -> Response:
    """The topics of the caller's products."""
    return page(await queries.list_topics(call.db, access.visible_to(call.caller), call.listing(queries.COLUMNS)))


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
        topic = await queries.insert_topic(call.db, new)
    return answer("topic", topic, status=201, etag=True)


routes = [
    get("/topics", list_topics, TopicsAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/topics", create_topic, NewTopic, TopicColumnsAnswer, who=access.CREATE),
    get("/topics/{topic_id:uuid}", get_topic, TopicAnswer, who=access.USE),
]
