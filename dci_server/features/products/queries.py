# SPDX-License-Identifier: Apache-2.0
"""The SQL of products."""

from typing import LiteralString
from uuid import UUID

from dci_server.features.products.model import ChangedProduct, NewProduct, Product, ProductColumns
from dci_server.features.teams.model import TeamColumns
from dci_server.features.teams.queries import STATES, TEAM_COLUMNS
from dci_server.foundation.database.changes import Change, assignments, change_row
from dci_server.foundation.database.connection import (
    Connection,
    Json,
    Record,
    by_id,
    fetch_json,
    fetch_one,
    fetch_page,
    fetch_row,
    fetch_value,
)
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.listing.columns import Column, Columns
from dci_server.foundation.listing.parameters import Listing

COLUMNS: Columns = {
    "created_at": Column("products.created_at", "timestamp"),
    "description": Column("products.description", "text"),
    "etag": Column("products.etag", "text"),
    "id": Column("products.id", "uuid"),
    "label": Column("products.label", "text"),
    "name": Column("products.name", "text"),
    "state": Column("products.state", "enum", members=STATES),
    "updated_at": Column("products.updated_at", "timestamp"),
}

PRODUCT_COLUMNS: LiteralString = (
    "products.id, products.created_at, products.updated_at, products.etag, products.name, products.label, "
    "products.description, products.state"
)
_CHANGES: dict[str, LiteralString] = {
    "name": "name = %(name)s::text",
    # quirk: a label that is changed is upper-cased, one that is created is not.
    "label": "label = upper(%(label)s::text)",
    "description": "description = %(description)s::text",
    "state": "state = %(state)s::text",
}
PRODUCT: LiteralString = (
    "select "
    + PRODUCT_COLUMNS
    + """,
    (select coalesce(json_agg(row_to_json(t)), '[]'::json) from (
        select id, created_at, updated_at, etag, name, product_id, next_topic_id, component_types,
               component_types_optional, export_control, data, state
        from topics where topics.product_id = products.id and topics.state <> 'archived'
            and (%(any_topic)s::boolean or topics.export_control or %(pre_release)s::boolean)
        order by created_at, id) as t) as topics
"""
)


async def list_products(db: Connection, visible: Condition, listing: Listing, **topics: bool) -> Json[list[Product]]:
    return await fetch_page(db, Product, "products", PRODUCT, "products", visible, listing, params=topics)


async def find_product(db: Connection, product_id: UUID, visible: Condition, **topics: bool) -> Json[Product] | None:
    return await fetch_one(db, Product, PRODUCT + " from products", by_id("products", product_id), visible, **topics)


async def insert_product(db: Connection, new: NewProduct) -> Json[ProductColumns]:
    return Json(
        await fetch_value(
            db,
            """with created as (
                   insert into products (name, label, description, state)
                   values (%(name)s::text, coalesce(nullif(%(label)s::text, ''), upper(%(name)s::text)),
                           %(description)s::text, %(state)s::text)
                   returning *)
               select row_to_json(p) from (select """
            + PRODUCT_COLUMNS
            + " from created as products) as p",
            name=new.name,
            label=new.label,
            description=new.description,
            state=new.state,
        )
    )


async def update_product(db: Connection, product_id: UUID, etag: str, changes: ChangedProduct) -> Change:
    return await change_row(db, "products", PRODUCT_COLUMNS, product_id, etag, assignments(changes, _CHANGES))


async def list_teams_of(db: Connection, product_id: UUID) -> Json[list[TeamColumns]]:
    return Json(
        await fetch_value(
            db,
            """select json_build_object('teams', coalesce(json_agg(row_to_json(t)), '[]'::json),
                                        '_meta', json_build_object('count', count(*)))
               from (select """
            + TEAM_COLUMNS
            + """ from teams join products_teams on products_teams.team_id = teams.id
                  join products on products.id = products_teams.product_id
                  where products.id = %(product_id)s::uuid and products.state <> 'archived' and teams.state <> 'archived'
                  order by teams.created_at, teams.id) as t""",
            product_id=product_id,
        )
    )


async def list_products_of_team(db: Connection, team_id: UUID) -> Json[list[ProductColumns]] | None:
    """None when there is no such team."""
    return await fetch_json(
        db,
        list[ProductColumns],
        """select json_build_object('products', products,
                                    '_meta', json_build_object('count', json_array_length(products)))
           from (select (select coalesce(json_agg(row_to_json(p)), '[]'::json) from (select """
        + PRODUCT_COLUMNS
        + """ from products join products_teams on products_teams.product_id = products.id
                where products_teams.team_id = teams.id and products.state <> 'archived'
                order by products.created_at, products.id) as p) as products
            from teams where teams.id = %(team_id)s::uuid and teams.state <> 'archived') as found""",
        team_id=team_id,
    )


async def attach_team(db: Connection, product_id: UUID, team_id: UUID) -> Record:
    """Whether both exist; attached when they do."""
    row = await fetch_row(
        db,
        """with product as (select id from products where id = %(product_id)s::uuid and state <> 'archived'),
                team as (select id from teams where id = %(team_id)s::uuid and state <> 'archived'),
                attached as (insert into products_teams (product_id, team_id) select product.id, team.id
                             from product, team on conflict do nothing)
           select exists (select from product) as product_is_known, exists (select from team) as team_is_known""",
        product_id=product_id,
        team_id=team_id,
    )
    assert row is not None
    return row


async def detach_team(db: Connection, product_id: UUID, team_id: UUID) -> Record:
    """Whether both exist; afterwards they are not attached."""
    row = await fetch_row(
        db,
        """with product as (select id from products where id = %(product_id)s::uuid and state <> 'archived'),
                team as (select id from teams where id = %(team_id)s::uuid and state <> 'archived'),
                detached as (delete from products_teams using product, team
                             where product_id = product.id and team_id = team.id)
           select exists (select from product) as product_is_known, exists (select from team) as team_is_known""",
        product_id=product_id,
        team_id=team_id,
    )
    assert row is not None
    return row
