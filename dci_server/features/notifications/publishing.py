# SPDX-License-Identifier: Apache-2.0
"""Publishes on the message bus: of each job one message after the other, and what each says is read when it is sent."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

from dci_server.features.jobs.queries import FILE_COLUMNS, JOB_IN_LIST
from dci_server.features.notifications.outbox import Table, Waiting
from dci_server.features.products.queries import PRODUCT_COLUMNS
from dci_server.foundation.database.connection import Connection, fetch_value
from dci_server.foundation.metrics import DeliveredBy
from dci_server.foundation.outgoing.bus import MessageBus
from dci_server.foundation.outgoing.carriers import MessageRefused

if TYPE_CHECKING:
    from dci_server.foundation.outgoing.amqp import BusConnection

_MOST_FILES: LiteralString = "1000"
"""Of a job in a message; brokers are no place for megabytes."""

_JOB: LiteralString = (
    """
    with some_files as materialized (
        select """
    + FILE_COLUMNS
    + """ from files where job_id = %(job_id)s::uuid and state <> 'archived' order by created_at, id
        limit """
    + _MOST_FILES
    + """
    ), job as ("""
    + JOB_IN_LIST
    + """,
        (select row_to_json(p) from (
            select """
    + PRODUCT_COLUMNS
    + """ from products
            where products.id = jobs.product_id) as p) as product,
        (select coalesce(json_agg(row_to_json(s)), '[]'::json) from (
            select id, created_at, status, comment, job_id,
                   (select coalesce(json_agg(row_to_json(f)), '[]'::json) from some_files as f
                    where f.jobstate_id = jobstates.id) as files
            from jobstates where jobstates.job_id = jobs.id order by created_at, id limit """
    + _MOST_FILES
    + """) as s) as jobstates,
        (select coalesce(json_agg(row_to_json(f)), '[]'::json) from some_files as f where f.jobstate_id is null) as files
        from jobs where jobs.id = %(job_id)s::uuid)
    select json_build_object('event', %(kind)s::text, 'job', row_to_json(job))::text from job
"""
)


@dataclass(frozen=True, slots=True)
class DueMessage(Waiting):
    event_id: int
    kind: str
    happened_at: datetime
    job_id: UUID


MESSAGES = Table(
    "bus_messages",
    DueMessage,
    "event_id, kind, happened_at, job_id",
    is_next="""not exists (select from bus_messages as earlier
                           where earlier.job_id = message.job_id and earlier.state = 'waiting'
                                 and earlier.event_id < message.event_id)""",
)


class Publisher:
    name = "the bus"
    by: DeliveredBy = "bus"
    in_parallel = 20
    keeps_open = True
    seconds = 60.0

    def __init__(self, db: Connection, bus: MessageBus) -> None:
        self._db = db
        self._bus = bus

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[DueMessage], Awaitable[None]]]:
        async with self._bus.connection() as connection:
            yield partial(self._publish, connection)

    async def _publish(self, connection: "BusConnection", due: DueMessage) -> None:
        """Of the job as it is now."""
        body: str | None = await fetch_value(self._db, _JOB, job_id=due.job_id, kind=due.kind)
        if body is None:
            raise MessageRefused("the job was purged", is_final=True)
        await connection.publish(
            body.encode(), message_id=str(due.event_id), kind=due.kind, at=due.happened_at.replace(tzinfo=UTC)
        )
