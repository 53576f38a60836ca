# SPDX-License-Identifier: Apache-2.0
"""The SQL of key-values."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.jobs.queries import TOUCHED, telling
from dci_server.foundation.database.connection import Connection, Record, fetch_row
from dci_server.foundation.database.sql import Condition


def _of_job(changeable: Condition) -> LiteralString:
    return (
        "with target as (select jobs.id, (" + changeable.sql + ") as is_allowed from jobs"
        " where jobs.id = %(job_id)s::uuid and jobs.state <> 'archived'),"
        " touched as (update jobs set " + TOUCHED + " from target where jobs.id = target.id and target.is_allowed"
        " returning jobs.*)"
    )  # fmt: skip


async def insert_key_value(db: Connection, job_id: UUID, key: str, value: float, changeable: Condition) -> Record:
    """Whether the job exists and the caller may add to it, and what was added."""
    row = await fetch_row(
        db,
        _of_job(changeable)
        + """, added as (insert into jobs_keys_values (job_id, key, value)
                         select target.id, %(key)s::text, %(value)s::double precision from target where target.is_allowed
                         returning job_id, key, value)"""
        + telling("keys_values", "'added', jsonb_build_object('key', added.key, 'value', added.value)", of="added")
        + """
           select exists (select from target) as is_known, (select row_to_json(added) from added) as kv""",
        **changeable.params,
        job_id=job_id,
        key=key,
        value=value,
    )
    assert row is not None
    return row


async def delete_key_value(db: Connection, job_id: UUID, key: str, changeable: Condition) -> Record:
    """Whether the job exists and the caller may take from it; gone when both."""
    row = await fetch_row(
        db,
        _of_job(changeable)
        + """, removed as (delete from jobs_keys_values using target
                           where jobs_keys_values.job_id = target.id and jobs_keys_values.key = %(key)s::text
                                 and target.is_allowed
                           returning key, value)"""
        + telling(
            "keys_values", "'removed', jsonb_build_object('key', removed.key, 'value', removed.value)", of="removed"
        )
        + """
           select exists (select from target) as is_known,
                  coalesce((select is_allowed from target), false) as is_allowed""",
        **changeable.params,
        job_id=job_id,
        key=key,
    )
    assert row is not None
    return row
