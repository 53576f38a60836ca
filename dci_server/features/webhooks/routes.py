# SPDX-License-Identifier: Apache-2.0
"""The URLs of webhooks and of what they were told."""

from uuid import uuid4

from dci_server.features.webhooks import access, actions, queries
from dci_server.features.webhooks.model import (
    ChangedWebhook,
    DeliveriesAnswer,
    DeliveryAnswer,
    NewWebhook,
    WebhookAnswer,
    WebhooksAnswer,
    WebhookWithSecretAnswer,
)
from dci_server.foundation.auth.client_secrets import NewSecret
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, get, page, post, put


async def list_webhooks(call: Call) -> Response:
    """The webhooks that the caller manages."""
    listing = call.listing(queries.COLUMNS)
    return page(await queries.list_webhooks(call.db, access.managed_by(call.caller), listing))


async def create_webhook(call: Call) -> Response:
    """A new webhook of a team, or without one of the whole hub. Its secret is in this answer and nowhere else."""
    services = call.services
    created = await actions.create_webhook(
        call.db, call.caller, services.secrets, services.targets, call.body(NewWebhook)
    )
    return answer("webhook", created, status=201, etag=True)


async def get_webhook(call: Call) -> Response:
    """A webhook, and how it has been doing."""
    return answer("webhook", await actions.find_managed(call.db, call.caller, call.id("webhook_id")), etag=True)


async def change_webhook(call: Call) -> Response:
    """Changes what the body names; made active again, a webhook that the server disabled starts anew."""
    etag, changes = call.etag(), call.body(ChangedWebhook, closed=False)
    changed = await actions.change_webhook(
        call.db, call.caller, call.services.targets, call.id("webhook_id"), etag, changes
    )
    return answer("webhook", changed, etag=True)


async def delete_webhook(call: Call) -> Response:
    """Deletes the webhook with its log; what waits for it is not sent any more."""
    change = await queries.delete_webhook(call.db, call.id("webhook_id"), call.etag(), access.managed_by(call.caller))
    change.require("webhook")
    return NO_CONTENT


async def replace_secret(call: Call) -> Response:
    """A new secret, shown in this answer and nowhere else; the old one ends at once. The body is ignored."""
    webhook_id = call.id("webhook_id")
    secret = NewSecret.for_owner(call.services.secrets, webhook_id)
    change = await queries.replace_secret(call.db, webhook_id, call.etag(), secret, access.managed_by(call.caller))
    return answer("webhook", change.require("webhook"), etag=True)


async def ping(call: Call) -> Response:
    """Sends an event of the type `ping` now; what came of it is in the delivery, in a moment."""
    webhook_id = call.id("webhook_id")
    await actions.find_managed(call.db, call.caller, webhook_id)
    return answer("delivery", await queries.insert_ping(call.db, webhook_id, uuid4()), status=201)


async def list_deliveries(call: Call) -> Response:
    """What the webhook was told and what it answered, newest first."""
    webhook_id = call.id("webhook_id")
    await actions.find_managed(call.db, call.caller, webhook_id)
    return page(await queries.list_deliveries(call.db, webhook_id, call.listing(queries.DELIVERIES)))


async def get_delivery(call: Call) -> Response:
    """A delivery with what was sent."""
    webhook_id = call.id("webhook_id")
    await actions.find_managed(call.db, call.caller, webhook_id)
    found = await queries.find_delivery(call.db, webhook_id, call.id("delivery_id"))
    if found is None:
        raise NotFound("delivery")
    return answer("delivery", found)


async def repeat_delivery(call: Call) -> Response:
    """Sends it once more, under the same id, whatever became of it before."""
    repeated = await actions.repeat_delivery(call.db, call.caller, call.id("webhook_id"), call.id("delivery_id"))
    return answer("delivery", repeated, status=201)


_ONE = "/webhooks/{webhook_id:uuid}"
_DELIVERY = _ONE + "/deliveries/{delivery_id:uuid}"

routes = [
    get("/webhooks", list_webhooks, WebhooksAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/webhooks", create_webhook, NewWebhook, WebhookWithSecretAnswer, who=access.MANAGE),
    get(_ONE, get_webhook, WebhookAnswer, who=access.MANAGE),
    put(_ONE, change_webhook, ChangedWebhook, WebhookAnswer, who=access.MANAGE),
    delete(_ONE, delete_webhook, who=access.MANAGE),
    put(_ONE + "/secret", replace_secret, None, WebhookWithSecretAnswer, who=access.MANAGE),
    post(_ONE + "/ping", ping, None, DeliveryAnswer, who=access.MANAGE),
    get(_ONE + "/deliveries", list_deliveries, DeliveriesAnswer, who=access.MANAGE, listing=queries.DELIVERIES),
    get(_DELIVERY, get_delivery, DeliveryAnswer, who=access.MANAGE),
    post(_DELIVERY + "/redeliver", repeat_delivery, None, DeliveryAnswer, who=access.MANAGE),
]
