# SPDX-License-Identifier: Apache-2.0
"""The SQL of secrets: several of one remoteci or feeder may be valid at once, so that a new one can be rolled out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from dci_server.foundation.auth.secret_box import SecretBox, new_secret
from dci_server.foundation.database.connection import Connection, Record, fetch_row, fetch_rows
from dci_server.foundation.database.sql import Condition

LONGEST_OVERLAP = 30 * 24 * 3600
LONGEST_LIFE = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Owners:
    """Those who sign with secrets: remotecis or feeders."""

    table: LiteralString
    singular: LiteralString

    @property
    def key(self) -> LiteralString:
        """What refers to them."""
        return self.singular + "_id"


REMOTECIS = Owners("remotecis", "remoteci")
FEEDERS = Owners("feeders", "feeder")


@dataclass(frozen=True, slots=True)
class NewSecret:
    """In clear for the one answer that shows it, and sealed for the database."""

    clear: str
    sealed: bytes

    @classmethod
    def for_owner(cls, box: SecretBox, owner_id: UUID) -> "NewSecret":
        secret = new_secret()
        return cls(secret, box.seal(secret, owner_id))

    @property
    def params(self) -> Mapping[str, object]:
        return {"api_secret": self.clear, "sealed_secret": self.sealed}


SHOWN: LiteralString = ", %(api_secret)s::text as api_secret"
"""Beside the columns of the one answer that shows a new secret (decision 18)."""


def first_secret(owners: Owners) -> LiteralString:
    """A CTE that follows from `created`."""
    return (
        ", kept as (insert into client_secrets ("
        + owners.key
        + ", sealed_secret) select created.id, %(sealed_secret)s::bytea from created)"
    )


def rotation(owners: Owners) -> LiteralString:
    """CTEs that follow from `changed`: the new secret, and what becomes of the old ones.

    Without an overlap all of them end at once. Otherwise the four newest that are valid stay so for the overlap, or for
    less when they were to end sooner; the rest goes.
    """
    return (
        """, staying as (
            select client_secrets.id from client_secrets join changed on client_secrets."""
        + owners.key
        + """ = changed.id
            where %(overlap)s::integer > 0 and (client_secrets.expires_at is null or client_secrets.expires_at > utc_now())
            order by client_secrets.created_at desc, client_secrets.id limit 4
        ), ending as (
            update client_secrets set expires_at = least(expires_at, utc_now() + %(overlap)s::integer * interval '1 second')
            where id in (select id from staying)
        ), ended as (
            delete from client_secrets using changed
            where client_secrets."""
        + owners.key
        + """ = changed.id and client_secrets.id not in (select id from staying)
        ), added as (
            insert into client_secrets ("""
        + owners.key
        + """, sealed_secret, expires_at)
            select changed.id, %(sealed_secret)s::bytea, utc_now() + %(expires_in)s::integer * interval '1 second'
            from changed
        )"""
    )


async def list_secrets(db: Connection, owners: Owners, owner_id: UUID) -> Record | None:
    """The owner's team, and what may be known of its secrets; None for no such owner."""
    return await fetch_row(
        db,
        "select "
        + owners.table
        + """.team_id, (
            select json_build_object('secrets', coalesce(json_agg(row_to_json(s)), '[]'::json),
                                     '_meta', json_build_object('count', count(*)))
            from (select id, created_at, expires_at, last_used_at from client_secrets
                  where client_secrets."""
        + owners.key
        + " = "
        + owners.table
        + ".id order by created_at desc, id) as s) as secrets from "
        + owners.table
        + " where id = %(owner_id)s::uuid and state <> 'archived'",
        owner_id=owner_id,
    )


async def end_secret(db: Connection, owners: Owners, owner_id: UUID, secret_id: UUID, allowed: Condition) -> Record:
    """Whether there is such an owner, whether the caller may, and whether there was such a secret."""
    row = await fetch_row(
        db,
        "with owner as (select id, ("
        + allowed.sql
        + ") as is_allowed from "
        + owners.table
        + """ where id = %(owner_id)s::uuid and state <> 'archived'),
        ended as (
            delete from client_secrets using owner
            where owner.is_allowed and client_secrets."""
        + owners.key
        + """ = owner.id and client_secrets.id = %(secret_id)s::uuid
            returning client_secrets.id
        )
        select exists (select from owner) as is_known, coalesce((select is_allowed from owner), false) as is_allowed,
               exists (select from ended) as was_there""",
        owner_id=owner_id,
        secret_id=secret_id,
        **allowed.params,
    )
    assert row is not None
    return row


async def find_newest_secrets(db: Connection, owners: Owners, owner_ids: Sequence[UUID]) -> list[Record]:
    """Of each owner that has a valid one: `owner_id`, `sealed_secret`."""
    return await fetch_rows(
        db,
        "select distinct on ("
        + owners.key
        + ") "
        + owners.key
        + """ as owner_id, sealed_secret from client_secrets
        where """
        + owners.key
        + """ = any(%(owner_ids)s::uuid[]) and (expires_at is null or expires_at > utc_now())
        order by """
        + owners.key
        + ", created_at desc, id",
        owner_ids=list(owner_ids),
    )
