# SPDX-License-Identifier: Apache-2.0
"""The SQL of mail: what is due, taken by one process at a time, and what became of it."""

from dataclasses import dataclass
from uuid import UUID

from dci_server.foundation.database.connection import Connection, execute, fetch_rows, fetch_value


@dataclass(frozen=True, slots=True)
class DueMail:
    """`facts` is JSON, of the shape that its kind has."""

    id: UUID
    email: str
    kind: str
    facts: str
    attempts: int


async def take_due(db: Connection, *, most: int, lease: float) -> list[DueMail]:
    rows = await fetch_rows(
        db,
        """update mails set attempts = attempts + 1,
                            next_attempt_at = utc_now() + %(lease)s::float8 * interval '1 second'
           where id in (select id from mails where state = 'waiting' and next_attempt_at <= utc_now()
                        order by next_attempt_at limit %(most)s::integer for update skip locked)
           returning id, email, kind, facts::text as facts, attempts""",
        most=most,
        lease=lease,
    )
    return [DueMail(**dict(row)) for row in rows]


async def note_sent(db: Connection, mail_id: UUID) -> None:
    await execute(db, "update mails set state = 'sent', error = null where id = %(id)s::uuid", id=mail_id)


async def note_failure(db: Connection, due: DueMail, reason: str, *, delay: float, is_final: bool = False) -> None:
    """Due again after `delay` seconds; given up when it is final, or a day old."""
    await execute(
        db,
        """update mails
           set state = case when %(is_final)s::boolean
                                 or utc_now() + %(delay)s::float8 * interval '1 second' >= give_up_at
                            then 'failed' else 'waiting' end,
               next_attempt_at = utc_now() + %(delay)s::float8 * interval '1 second', error = %(reason)s::text
           where id = %(id)s::uuid and attempts = %(attempts)s::integer and state = 'waiting'""",
        id=due.id,
        attempts=due.attempts,
        delay=delay,
        is_final=is_final,
        reason=reason,
    )


async def forget_old(db: Connection, *, days: int, most: int) -> int:
    return await fetch_value(
        db,
        """with gone as (
               delete from mails where id in (
                   select id from mails where created_at < utc_now() - %(days)s::integer * interval '1 day'
                   limit %(most)s::integer for update skip locked)
               returning id
           ) select count(*) from gone""",
        days=days,
        most=most,
    )
