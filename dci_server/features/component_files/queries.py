# SPDX-License-Identifier: Apache-2.0
"""The SQL of a component's files."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.components.model import ComponentFile
from dci_server.features.components.queries import FILE_COLUMNS
from dci_server.features.teams.queries import STATES
from dci_server.foundation.database.connection import Connection, Json, Record, fetch_page, fetch_row
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "component_id": Column("component_files.component_id", "uuid"),
    "created_at": Column("component_files.created_at", "timestamp"),
    "etag": Column("component_files.etag", "text"),
    "id": Column("component_files.id", "uuid"),
    "md5": Column("component_files.md5", "text"),
    "mime": Column("component_files.mime", "text"),
    "name": Column("component_files.name", "text"),
    "size": Column("component_files.size", "integer"),
    "state": Column("component_files.state", "enum", members=STATES),
    "updated_at": Column("component_files.updated_at", "timestamp"),
}


async def list_files(db: Connection, component_id: UUID, listing: Listing) -> Json[list[ComponentFile]]:
    of_component = Condition(
        "component_files.component_id = %(component_id)s::uuid and component_files.state <> 'archived'",
        {"component_id": component_id},
    )
    select: LiteralString = "select " + FILE_COLUMNS
    return await fetch_page(db, ComponentFile, "component_files", select, "component_files", of_component, listing)


async def find_file(db: Connection, component_id: UUID, file_id: UUID) -> Record | None:
    """The file as JSON, and where its bytes are; None when this component has no such file (decision 7)."""
    return await fetch_row(
        db,
        """select component_files.key, component_files.name, component_files.mime, component_files.size, component_files.etag,
                  component_files.updated_at,
                  (select row_to_json(f) from (select """
        + FILE_COLUMNS
        + """) as f) as file
           from component_files
           where component_files.id = %(file_id)s::uuid and component_files.component_id = %(component_id)s::uuid
             and component_files.state <> 'archived'""",
        file_id=file_id,
        component_id=component_id,
    )


_TARGET: LiteralString = """with component as (
    select components.id, components.topic_id, ("""

_FACTS: LiteralString = """) as is_changeable from components
    where components.id = %(component_id)s::uuid and components.state <> 'archived'
), facts as (
    select exists (select from component) as is_known, (select is_changeable from component) as is_changeable,
           (select topic_id from component) as topic_id
)"""


async def find_target(db: Connection, component_id: UUID, changeable: Condition) -> Record:
    """Whether the component exists, and whether the caller may put files into it and take them out."""
    row = await fetch_row(
        db,
        _TARGET + changeable.sql + _FACTS + " select facts.* from facts",
        **changeable.params,
        component_id=component_id,
    )
    assert row is not None
    return row


async def insert_file(db: Connection, component_id: UUID, changeable: Condition, **stored: object) -> Record:
    """The same facts, and the file when nothing speaks against it and the announcement of its object still stood."""
    row = await fetch_row(
        db,
        _TARGET
        + changeable.sql
        + _FACTS
        + """, claimed as (
    delete from objects_to_remove using component
    where key = %(key)s::text and not_before > utc_now() and component.is_changeable returning key
), created as (
    insert into component_files (id, name, mime, md5, sha256, size, key, component_id)
    select %(file_id)s::uuid, %(file_id)s::uuid::text, %(mime)s::text, %(md5)s::text, %(sha256)s::text, %(size)s::bigint, claimed.key,
           component.id
    from component, claimed returning *
)
select facts.*, (select row_to_json(f) from (select """
        + FILE_COLUMNS
        + " from created as component_files) as f) as file from facts",
        **changeable.params,
        component_id=component_id,
        **stored,
    )
    assert row is not None
    return row


async def archive_file(db: Connection, component_id: UUID, file_id: UUID, etag: str, changeable: Condition) -> Record:
    """The same facts, and whether the file was archived: its etag matched, with or without the quotes of imported ones."""
    row = await fetch_row(
        db,
        _TARGET
        + changeable.sql
        + _FACTS
        + """, archived as (
    update component_files set state = 'archived', etag = new_etag(), updated_at = utc_now() from component
    where component_files.id = %(file_id)s::uuid and component_files.component_id = component.id
      and component_files.state <> 'archived' and component.is_changeable
      and trim(both '"' from component_files.etag) = trim(both '"' from %(etag)s::text)
    returning component_files.id
)
select facts.*, exists (select from archived) as is_archived from facts""",
        **changeable.params,
        component_id=component_id,
        file_id=file_id,
        etag=etag,
    )
    assert row is not None
    return row
