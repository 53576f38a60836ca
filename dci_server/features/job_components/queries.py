# SPDX-License-Identifier: Apache-2.0
"""The SQL of a job's components."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.components.model import Component
from dci_server.features.components.queries import COMPONENT_COLUMNS
from dci_server.features.jobs.queries import TOUCHED, telling
from dci_server.foundation.database.connection import Connection, Json, Record, fetch_row, fetch_value
from dci_server.foundation.database.sql import Condition, all_of


async def list_components(db: Connection, job_id: UUID, visible: Condition) -> Json[list[Component]] | None:
    """None for a job that is not there or not visible."""
    raw = await fetch_value(
        db,
        """select (select json_build_object('components', coalesce(json_agg(row_to_json(c)), '[]'::json),
                                            '_meta', json_build_object('count', count(*)))
                   from (select """
        + COMPONENT_COLUMNS
        + """ from components
              where components.id in (select component_id from jobs_components where job_id = jobs.id)
              order by components.type, components.created_at, components.id) as c)
           from jobs where jobs.id = %(job_id)s::uuid and """
        + visible.sql,
        **visible.params,
        job_id=job_id,
    )
    return None if raw is None else Json(raw)


_FACTS: LiteralString = """
select exists (select from target) as job_is_known, exists (select from component) as component_is_known,
       coalesce((select is_allowed from target), false) and coalesce((select is_allowed from component), false)
           as is_allowed
"""


def _both(changeable: Condition, usable: Condition) -> LiteralString:
    return (
        "with target as (select jobs.id, (" + changeable.sql + ") as is_allowed from jobs"
        " where jobs.id = %(job_id)s::uuid and jobs.state <> 'archived'),"
        " component as (select components.id, components.name, (" + usable.sql + ") as is_allowed from components"
        " where components.id = %(component_id)s::uuid and components.state <> 'archived'),"
        " pair as (select target.id as job_id, component.id as component_id from target, component"
        " where target.is_allowed and component.is_allowed),"
        " touched as (update jobs set " + TOUCHED + " from pair where jobs.id = pair.job_id returning jobs.*)"
    )  # fmt: skip


async def attach_component(
    db: Connection, job_id: UUID, component_id: UUID, changeable: Condition, usable: Condition
) -> Record:
    """Whether both exist and the caller may put them together; attached when all is well, also when it was."""
    attach: LiteralString = (
        ", attached as (insert into jobs_components (job_id, component_id) select job_id, component_id from pair"
        " on conflict do nothing returning component_id)"
        + telling(
            "components",
            "'added', jsonb_build_object('id', component.id, 'name', component.name)",
            of="component, attached",
        )
    )
    row = await fetch_row(
        db,
        _both(changeable, usable) + attach + _FACTS,
        **all_of(changeable, usable).params,
        job_id=job_id,
        component_id=component_id,
    )
    assert row is not None
    return row


async def detach_component(db: Connection, job_id: UUID, component_id: UUID, changeable: Condition) -> Record:
    """The same facts; taken off when all is well, also when it was not attached."""
    detach: LiteralString = (
        ", detached as (delete from jobs_components using pair where jobs_components.job_id = pair.job_id"
        " and jobs_components.component_id = pair.component_id returning jobs_components.component_id)"
        + telling(
            "components",
            "'removed', jsonb_build_object('id', component.id, 'name', component.name)",
            of="component, detached",
        )
    )
    row = await fetch_row(
        db,
        _both(changeable, Condition("true")) + detach + _FACTS,
        **changeable.params,
        job_id=job_id,
        component_id=component_id,
    )
    assert row is not None
    return row
