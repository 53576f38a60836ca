# SPDX-License-Identifier: Apache-2.0
"""The SQL of sending: which deliveries are due, taken by one process at a time, and what became of them.

Taking a delivery moves its next attempt into the future, by as long as the attempt can last. Whoever dies with it in
hands needs to do nothing more: it is due again. `attempts` tells an attempt from a later one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString, NamedTuple
from uuid import UUID

from dci_server.foundation.database.connection import Connection, execute, fetch_row, fetch_rows
from dci_server.foundation.outgoing.posting import Outcome

_SLOWED_DOWN: LiteralString = "3"
"""From so many failures in a row on a webhook is tried with one delivery at a time, at its `retry_at`."""

_TAKE: LiteralString = """
    with asking as materialized (
        select webhooks.id, webhooks.state, webhooks.failures,
               cardinality(array_positions(%(in_hands)s::uuid[], webhooks.id)) as in_hands
        from webhooks
        where webhooks.failures >= %(least_failures)s::integer and webhooks.failures < %(failures_below)s::integer
              and (webhooks.retry_at is null or webhooks.retry_at <= utc_now())
              and coalesce(webhooks.team_id, '00000000-0000-0000-0000-000000000000') <> all(%(busy_teams)s::uuid[])
              and not exists (select from teams where teams.id = webhooks.team_id and teams.state <> 'active')
        order by in_hands, random()
    ), taken as (
        select due.id from asking as webhooks cross join lateral (
            select id from webhooks_deliveries as delivery
            where delivery.webhook_id = webhooks.id and delivery.state = 'waiting'
                  and delivery.next_attempt_at <= utc_now() and (webhooks.state = 'active' or delivery.event_id is null)
                  and not exists (
                      select from webhooks_deliveries as earlier
                      where earlier.webhook_id = webhooks.id and earlier.state = 'waiting'
                            and coalesce(earlier.job_id, earlier.subject_id)
                                = coalesce(delivery.job_id, delivery.subject_id)
                            and earlier.event_id < delivery.event_id)
            order by delivery.next_attempt_at
            limit greatest(0, %(of_each)s::integer - webhooks.in_hands)
            for update skip locked
        ) as due
        limit %(most)s::integer
    )
    update webhooks_deliveries
    set attempts = attempts + 1, next_attempt_at = utc_now() + %(lease)s::float8 * interval '1 second'
    from taken, webhooks
    where webhooks_deliveries.id = taken.id and webhooks.id = webhooks_deliveries.webhook_id
    returning webhooks_deliveries.id, webhooks_deliveries.webhook_id, webhooks_deliveries.type,
              webhooks_deliveries.attempts, webhooks_deliveries.body, webhooks.url, webhooks.sealed_secret,
              coalesce(webhooks.team_id, '00000000-0000-0000-0000-000000000000') as team_id
"""
_ANSWERED: LiteralString = (
    "attempted_at = utc_now(), duration_ms = %(duration_ms)s::integer, status = %(status)s::integer, "
    "answer = %(answer)s::text, error = %(error)s::text"
)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery in hands. The hub's own webhooks are those of a team without a number."""

    id: UUID
    webhook_id: UUID
    team_id: UUID
    type: str
    attempts: int
    body: str
    url: str
    sealed_secret: bytes


async def take_due(
    db: Connection,
    *,
    failing: bool,
    most: int,
    of_each: int,
    lease: float,
    in_hands: Sequence[UUID] = (),
    busy_teams: Sequence[UUID] = (),
) -> list[Due]:
    """Of webhooks that work, or of those that keep failing; never two about one subject of the same webhook.

    `in_hands` are the webhooks of those that were taken before, one by one: who has the fewest comes first.
    """
    rows = await fetch_rows(
        db,
        _TAKE,
        least_failures=int(_SLOWED_DOWN) if failing else 0,
        failures_below=2**31 - 1 if failing else int(_SLOWED_DOWN),
        most=most,
        of_each=of_each,
        lease=lease,
        in_hands=list(in_hands),
        busy_teams=list(busy_teams),
    )
    return [Due(**dict(row)) for row in rows]


async def note_success(db: Connection, due: Due, outcome: Outcome) -> None:
    """Whoever else has taken it meanwhile: it was received."""
    await execute(
        db,
        """with recovered as (
               update webhooks set failures = 0, failing_since = null, retry_at = null
               where id = %(webhook_id)s::uuid and (failures > 0 or failing_since is not null)
           )
           update webhooks_deliveries set state = 'delivered', """
        + _ANSWERED
        + " where id = %(id)s::uuid",
        id=due.id,
        webhook_id=due.webhook_id,
        **_params(outcome),
    )


class Failed(NamedTuple):
    """How many deliveries were given up, and whether the webhook was disabled: nothing has succeeded for as long as one is
    tried. A failure that comes when nothing was tried for so long is the first of its time."""

    given_up: int
    was_disabled: bool


async def note_failure(db: Connection, due: Due, outcome: Outcome, *, delay: float, pauses: Sequence[float]) -> Failed:
    """Due again after `delay` seconds, or given up. `pauses` are those of a webhook by its number of failures."""
    row = await fetch_row(
        db,
        """with lately as (
               select from webhooks_deliveries
               where webhook_id = %(webhook_id)s::uuid and event_id is not null
                     and attempted_at > utc_now() - interval '24 hours' and created_at > utc_now() - interval '50 hours'
               limit 1
           ), before as (
               select id, failures + 1 as failures,
                      case when exists (select from lately) then failing_since end as failing_since,
                      coalesce(state = 'active' and failing_since <= utc_now() - interval '24 hours'
                               and exists (select from lately), false) as is_hopeless
               from webhooks
               where id = %(webhook_id)s::uuid and exists (
                   select from webhooks_deliveries as delivery
                   where delivery.id = %(id)s::uuid and attempts = %(attempts)s::integer and delivery.state = 'waiting'
                         and event_id is not null)
               for no key update
           ), failed as (
               update webhooks_deliveries
               set state = case when utc_now() + %(delay)s::float8 * interval '1 second' < give_up_at
                                     and not exists (select from before where is_hopeless)
                                then 'waiting' else 'failed' end,
                   next_attempt_at = utc_now() + %(delay)s::float8 * interval '1 second', """
        + _ANSWERED
        + """
               where id = %(id)s::uuid and attempts = %(attempts)s::integer and state = 'waiting'
               returning state
           ), counted as (
               update webhooks
               set failures = least(before.failures, 1000000), failing_since = coalesce(before.failing_since, utc_now()),
                   retry_at = case when before.failures >= """
        + _SLOWED_DOWN
        + """ then utc_now() + interval '1 second'
                       * (%(pauses)s::float8[])[least(before.failures + 1 - """
        + _SLOWED_DOWN
        + """, cardinality(%(pauses)s::float8[]))] end,
                   state = case when is_hopeless then 'inactive' else state end,
                   etag = case when is_hopeless then new_etag() else etag end,
                   updated_at = case when is_hopeless then utc_now() else updated_at end,
                   disabled_at = case when is_hopeless then utc_now() else disabled_at end,
                   disabled_reason = case when is_hopeless
                       then 'nothing could be delivered for 24 hours; the last attempt: '
                            || coalesce(%(error)s::text, 'status ' || %(status)s::integer)
                       else disabled_reason end
               from before where webhooks.id = before.id
               returning webhooks.id, team_id, name, disabled_reason, is_hopeless
           ), given_up as (
               update webhooks_deliveries set state = 'failed', error = 'the webhook was disabled'
               from counted
               where is_hopeless and webhook_id = counted.id and webhooks_deliveries.state = 'waiting'
                     and webhooks_deliveries.id <> %(id)s::uuid
               returning 1
           ), told as (
               insert into events_outbox (type, subject_kind, subject_id, team_id, data)
               select 'webhook_disabled', 'webhook', id, team_id,
                      jsonb_build_object('name', name, 'reason', disabled_reason)
               from counted where is_hopeless
           )
           select (select count(*) from failed where state = 'failed') + (select count(*) from given_up) as given_up,
                  exists (select from counted where is_hopeless) as was_disabled""",
        id=due.id,
        webhook_id=due.webhook_id,
        attempts=due.attempts,
        delay=delay,
        pauses=list(pauses),
        **_params(outcome),
    )
    assert row is not None
    return Failed(row["given_up"], row["was_disabled"])


def _params(outcome: Outcome) -> dict[str, object]:
    return {
        "duration_ms": outcome.duration_ms,
        "status": outcome.status,
        "answer": outcome.answer,
        "error": outcome.error,
    }
