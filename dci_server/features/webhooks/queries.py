# SPDX-License-Identifier: Apache-2.0
"""The SQL of webhooks and of the log of their deliveries."""

from collections.abc import Mapping
from typing import Any, LiteralString
from uuid import UUID

from dci_server.features.webhooks.model import ChangedWebhook, Delivery, NewWebhook, Webhook, WebhookWithSecret
from dci_server.foundation.auth.client_secrets import NewSecret
from dci_server.foundation.database.changes import Assignments, Change, assignments, change_row
from dci_server.foundation.database.connection import Connection, Json, Record, fetch_page, fetch_row, fetch_value
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

MOST_OF_A_TEAM = 50

COLUMNS: Columns = {
    "created_at": Column("webhooks.created_at", "timestamp"),
    "etag": Column("webhooks.etag", "text"),
    "id": Column("webhooks.id", "uuid"),
    "name": Column("webhooks.name", "text"),
    "state": Column("webhooks.state", "enum", members=("active", "inactive")),
    "team_id": Column("webhooks.team_id", "uuid"),
    "updated_at": Column("webhooks.updated_at", "timestamp"),
    "url": Column("webhooks.url", "text"),
}
DELIVERIES: Columns = {
    "attempts": Column("webhooks_deliveries.attempts", "integer"),
    "created_at": Column("webhooks_deliveries.created_at", "timestamp"),
    "event_id": Column("webhooks_deliveries.event_id", "integer"),
    "id": Column("webhooks_deliveries.id", "uuid"),
    "job_id": Column("webhooks_deliveries.job_id", "uuid"),
    "state": Column("webhooks_deliveries.state", "enum", members=("waiting", "delivered", "failed")),
    "status": Column("webhooks_deliveries.status", "integer"),
    "subject_id": Column("webhooks_deliveries.subject_id", "uuid"),
    "type": Column("webhooks_deliveries.type", "text"),
}

WEBHOOK_COLUMNS: LiteralString = (
    "webhooks.id, webhooks.created_at, webhooks.updated_at, webhooks.etag, webhooks.name, webhooks.team_id, webhooks.url, "
    "webhooks.state, webhooks.event_types, webhooks.topic_ids, webhooks.remoteci_ids, webhooks.statuses, "
    "webhooks.failures, webhooks.failing_since, webhooks.disabled_at, webhooks.disabled_reason"
)
_SHOWN: LiteralString = ", %(secret)s::text as secret"
_DELIVERY_COLUMNS: LiteralString = (
    "id, created_at, webhook_id, event_id, type, subject_id, job_id, state, attempts, next_attempt_at, give_up_at, "
    "attempted_at, duration_ms, status, answer, error"
)
_DELIVERY: LiteralString = "row_to_json(found) from (select " + _DELIVERY_COLUMNS + ", body from "

_ASSIGNED: Mapping[str, LiteralString] = {
    "name": "name = %(name)s::text",
    "url": "url = %(url)s::text",
    "event_types": "event_types = %(event_types)s::text[]",
    "topic_ids": "topic_ids = %(topic_ids)s::uuid[]",
    "remoteci_ids": "remoteci_ids = %(remoteci_ids)s::uuid[]",
    "statuses": "statuses = %(statuses)s::text[]",
    "state": "state = %(state)s::text",
}
_STARTS_ANEW: LiteralString = (
    "failures = 0, failing_since = null, retry_at = null, disabled_at = null, disabled_reason = null"
)
_TELL: LiteralString = "pg_notify('deliveries', '')"
"""Those who deliver need not wait for their next look."""


async def list_webhooks(db: Connection, managed: Condition, listing: Listing) -> Json[list[Webhook]]:
    select: LiteralString = "select " + WEBHOOK_COLUMNS
    return await fetch_page(db, Webhook, "webhooks", select, "webhooks", managed, listing)


async def find_webhook(db: Connection, webhook_id: UUID) -> Record | None:
    """`team_id`, and the webhook as JSON."""
    return await fetch_row(
        db,
        "select team_id, row_to_json(found) as webhook from (select "
        + WEBHOOK_COLUMNS
        + " from webhooks where id = %(id)s::uuid) as found",
        id=webhook_id,
    )


async def insert_webhook(
    db: Connection, webhook_id: UUID, new: NewWebhook, secret: NewSecret
) -> Json[WebhookWithSecret] | None:
    """None when its team, or the hub, has enough of them. Not null is violated by an unknown team."""
    raw = await fetch_value(
        db,
        """with created as (
               insert into webhooks (id, name, team_id, url, sealed_secret, state, event_types, topic_ids, remoteci_ids,
                                     statuses)
               select %(id)s::uuid, %(name)s::text, %(team_id)s::uuid, %(url)s::text, %(sealed_secret)s::bytea,
                      %(state)s::text, %(event_types)s::text[], %(topic_ids)s::uuid[], %(remoteci_ids)s::uuid[],
                      %(statuses)s::text[]
               where (select count(*) from webhooks where team_id is not distinct from %(team_id)s::uuid) < %(most)s::integer
               returning *)
           select row_to_json(w) from (select """
        + WEBHOOK_COLUMNS
        + _SHOWN
        + " from created as webhooks) as w",
        id=webhook_id,
        name=new.name,
        team_id=new.team_id,
        url=new.url,
        state=new.state,
        event_types=new.event_types,
        topic_ids=new.topic_ids,
        remoteci_ids=new.remoteci_ids,
        statuses=new.statuses,
        most=MOST_OF_A_TEAM,
        secret=secret.clear,
        sealed_secret=secret.sealed,
    )
    return None if raw is None else Json(raw)


async def team_exists(db: Connection, team_id: UUID) -> bool:
    return await fetch_value(
        db, "select exists (select from teams where id = %(id)s::uuid and state <> 'archived')", id=team_id
    )


async def update_webhook(
    db: Connection, webhook_id: UUID, etag: str, changes: ChangedWebhook, managed: Condition
) -> Change:
    """Another address, or being made active, lets it start anew."""
    changed = assignments(changes, _ASSIGNED)
    if changes.state == "active" or isinstance(changes.url, str):
        changed = Assignments([*changed.sql, _STARTS_ANEW], changed.params)
    return await change_row(db, "webhooks", WEBHOOK_COLUMNS, webhook_id, etag, changed, allowed=managed)


async def replace_secret(db: Connection, webhook_id: UUID, etag: str, secret: NewSecret, managed: Condition) -> Change:
    """The old one ends at once."""
    return await change_row(
        db,
        "webhooks",
        WEBHOOK_COLUMNS + _SHOWN,
        webhook_id,
        etag,
        Assignments(["sealed_secret = %(sealed_secret)s::bytea"], {"sealed_secret": secret.sealed}),
        allowed=managed,
        params={"secret": secret.clear},
    )


async def delete_webhook(db: Connection, webhook_id: UUID, etag: str, managed: Condition) -> Change:
    """With everything that it was told."""
    row = await fetch_row(
        db,
        "with target as (select etag, ("
        + managed.sql
        + """) as is_allowed from webhooks where id = %(id)s::uuid),
        deleted as (
            delete from webhooks where id = %(id)s::uuid and etag = %(etag)s::text and ("""
        + managed.sql
        + """) returning id
        )
        select exists (select from target) as is_known,
               coalesce((select etag = %(etag)s::text from target), false) as etag_matches,
               coalesce((select is_allowed from target), false) as is_allowed,
               (select row_to_json(deleted) from deleted) as row""",
        id=webhook_id,
        etag=etag,
        **managed.params,
    )
    assert row is not None
    return Change(row["is_known"], row["etag_matches"], row["is_allowed"], row["row"])


async def list_deliveries(db: Connection, webhook_id: UUID, listing: Listing) -> Json[list[Delivery]]:
    of_webhook = Condition("webhooks_deliveries.webhook_id = %(webhook_id)s::uuid", {"webhook_id": webhook_id})
    select: LiteralString = "select " + _DELIVERY_COLUMNS
    return await fetch_page(db, Delivery, "deliveries", select, "webhooks_deliveries", of_webhook, listing)


async def find_delivery(db: Connection, webhook_id: UUID, delivery_id: UUID) -> Json[Any] | None:
    raw = await fetch_value(
        db,
        "select "
        + _DELIVERY
        + """webhooks_deliveries
            where webhook_id = %(webhook_id)s::uuid and id = %(delivery_id)s::uuid) as found""",
        webhook_id=webhook_id,
        delivery_id=delivery_id,
    )
    return None if raw is None else Json(raw)


async def insert_ping(db: Connection, webhook_id: UUID, delivery_id: UUID) -> Json[Any]:
    """A delivery that tells of nothing, at once, whatever the webhook wants to hear of."""
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into webhooks_deliveries (id, webhook_id, type, subject_id, body, give_up_at)
                   select %(id)s::uuid, id, 'ping', id,
                          json_build_object('delivery_id', %(id)s::uuid, 'webhook_id', id, 'type', 'ping',
                                            'created_at', utc_now(), 'name', name)::text,
                          utc_now() + interval '1 minute'
                   from webhooks where id = %(webhook_id)s::uuid
                   returning *
               ), resumed as (
                   update webhooks set retry_at = null where id = %(webhook_id)s::uuid and retry_at is not null
               )
               select """
            + _DELIVERY
            + "created) as found, "
            + _TELL,
            id=delivery_id,
            webhook_id=webhook_id,
        )
    )


async def repeat_delivery(db: Connection, webhook_id: UUID, delivery_id: UUID) -> Json[Any] | None:
    """It is due again, for another day, under the id it had; None for no such delivery."""
    raw = await fetch_value(
        db,
        """with repeated as (
               update webhooks_deliveries
               set state = 'waiting', attempts = 0, next_attempt_at = utc_now(),
                   give_up_at = utc_now() + interval '24 hours', status = null, answer = null, error = null
               where webhook_id = %(webhook_id)s::uuid and id = %(delivery_id)s::uuid
               returning *
           ), resumed as (
               update webhooks set retry_at = null where id = %(webhook_id)s::uuid and retry_at is not null
           )
           select """
        + _DELIVERY
        + "repeated) as found, "
        + _TELL,
        webhook_id=webhook_id,
        delivery_id=delivery_id,
    )
    return None if raw is None else Json(raw)
