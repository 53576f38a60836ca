# SPDX-License-Identifier: Apache-2.0
"""What happens when a webhook is made, changed or tried out."""

from typing import Any
from uuid import UUID, uuid4

from dci_server.features.webhooks import access, queries
from dci_server.features.webhooks.model import ChangedWebhook, NewWebhook, Webhook, WebhookWithSecret, require_few
from dci_server.foundation.auth.client_secrets import NewSecret
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.database.connection import Connection, Json, refusing_duplicates
from dci_server.foundation.errors import ApiError, Conflict, NotFound
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.outgoing.targets import TargetRefused, Targets, read_url


async def create_webhook(
    db: Connection, caller: Identity, box: SecretBox, targets: Targets, new: NewWebhook
) -> Json[WebhookWithSecret]:
    team_id = UUID(new.team_id) if new.team_id is not None else None
    access.require_manager(caller, team_id)
    require_plain_name("name", new.name)
    require_few(new)
    _require_acceptable(targets, new.url)
    if team_id is not None and not await queries.team_exists(db, team_id):
        raise Conflict(_NO_TEAM, {"error": {"team_id": "does not exist"}})
    webhook_id = uuid4()
    with refusing_duplicates():
        created = await queries.insert_webhook(db, webhook_id, new, NewSecret.for_owner(box, webhook_id))
    if created is None:
        raise Conflict(f"there are {queries.MOST_OF_A_TEAM} webhooks already; delete one first")
    return created


async def find_managed(db: Connection, caller: Identity, webhook_id: UUID) -> Json[Webhook]:
    """404 for what is not there, 401 for what is not the caller's."""
    found = await queries.find_webhook(db, webhook_id)
    if found is None:
        raise NotFound("webhook")
    access.require_manager(caller, found["team_id"])
    return Json(found["webhook"])


async def change_webhook(
    db: Connection, caller: Identity, targets: Targets, webhook_id: UUID, etag: str, changes: ChangedWebhook
) -> Json[Any]:
    require_plain_name("name", changes.name)
    require_few(changes)
    if isinstance(changes.url, str):
        _require_acceptable(targets, changes.url)
    change = await queries.update_webhook(db, webhook_id, etag, changes, access.managed_by(caller))
    return change.require("webhook")


async def repeat_delivery(db: Connection, caller: Identity, webhook_id: UUID, delivery_id: UUID) -> Json[Any]:
    await find_managed(db, caller, webhook_id)
    repeated = await queries.repeat_delivery(db, webhook_id, delivery_id)
    if repeated is None:
        raise NotFound("delivery")
    return repeated


def _require_acceptable(targets: Targets, url: str) -> None:
    """What its name resolves to is looked at when something is sent."""
    try:
        targets.require_acceptable(read_url(url))
    except TargetRefused as refusal:
        raise ApiError(f"url: {refusal}") from None


_NO_TEAM = "We are unable to create this resource. A similar resource already exists."
