# SPDX-License-Identifier: Apache-2.0
"""The URLs of products."""

from uuid import UUID

from dci_server.features.products import access, queries
from dci_server.features.products.model import (
    Attached,
    ChangedProduct,
    NewProduct,
    ProductAnswer,
    ProductColumnsAnswer,
    ProductsAnswer,
    ProductsColumnsAnswer,
    TeamsOfProductAnswer,
    TeamToAttach,
)
from dci_server.foundation.database.connection import Record, refusing_duplicates
from dci_server.foundation.errors import Conflict, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, encode, get, page, post, put
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.purges import purge_routes, remove_objects


async def list_products(call: Call) -> Response:
    """The products attached to the caller's teams, with their topics."""
    visible = access.visible_to(call.caller)
    return page(await queries.list_products(call.db, visible, call.listing(queries.COLUMNS), **_topics(call)))


async def get_product(call: Call) -> Response:
    """A product with its topics."""
    visible = access.visible_to(call.caller)
    product = await queries.find_product(call.db, call.id("product_id"), visible, **_topics(call))
    if product is None:
        raise NotFound("product")
    return answer("product", product, etag=True)


async def create_product(call: Call) -> Response:
    """A new product, attached to no team."""
    new = call.body(NewProduct)
    access.CREATE.require(call.caller)
    require_plain_name("name", new.name)
    require_plain_name("label", new.label)
    with refusing_duplicates():
        product = await queries.insert_product(call.db, new)
    return answer("product", product, status=201, etag=True)


async def change_product(call: Call) -> Response:
    """Changes what the body names; the rest of a product that is sent back is ignored."""
    access.CHANGE.require(call.caller)
    etag = call.etag()
    changes = call.body(ChangedProduct, closed=False)
    require_plain_name("name", changes.name)
    require_plain_name("label", changes.label)
    with refusing_duplicates("update"):
        change = await queries.update_product(call.db, call.id("product_id"), etag, changes)
    return answer("product", change.require("product"), etag=True)


async def delete_product(call: Call) -> Response:
    """Archives the product; its topics stay, for privileged readers."""
    etag = call.etag()
    access.CHANGE.require(call.caller)
    change = await queries.update_product(call.db, call.id("product_id"), etag, ChangedProduct(state="archived"))
    change.require("product", stale=Conflict("delete failed, check etag"))
    return NO_CONTENT


async def list_products_of_team(call: Call) -> Response:
    """The products a team may see."""
    access.LIST_OF_TEAM.require_for_team(call.caller, call.id("team_id"))
    products = await queries.list_products_of_team(call.db, call.id("team_id"))
    if products is None:
        raise NotFound("team")
    return page(products)


async def list_teams(call: Call) -> Response:
    """The teams that may see the product."""
    access.ATTACH.require(call.caller)
    return page(await queries.list_teams_of(call.db, call.id("product_id")))


async def attach_team(call: Call) -> Response:
    """Lets a team see the product; repeating it changes nothing."""
    wanted = call.body(TeamToAttach)
    access.ATTACH.require(call.caller)
    _require_both(await queries.attach_team(call.db, call.id("product_id"), UUID(wanted.team_id)))
    return encode(Attached(str(call.id("product_id")), wanted.team_id), status=201)


async def detach_team(call: Call) -> Response:
    """Takes the product from a team; 204 too when it was not attached (decision 50)."""
    access.ATTACH.require(call.caller)
    _require_both(await queries.detach_team(call.db, call.id("product_id"), call.id("team_id")))
    return NO_CONTENT


def _require_both(facts: Record) -> None:
    if not facts["product_is_known"]:
        raise NotFound("product")
    if not facts["team_is_known"]:
        raise NotFound("team")


def _topics(call: Call) -> dict[str, bool]:
    """Which topics the caller may know of."""
    caller = call.caller
    return {
        "any_topic": caller.reads_everything or caller.kind == "feeder",
        "pre_release": caller.has_pre_release_access,
    }


routes = [
    get("/products", list_products, ProductsAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/products", create_product, NewProduct, ProductColumnsAnswer, who=access.CREATE),
    get("/products/{product_id:uuid}", get_product, ProductAnswer, who=access.READ),
    put("/products/{product_id:uuid}", change_product, ChangedProduct, ProductColumnsAnswer, who=access.CHANGE),
    delete("/products/{product_id:uuid}", delete_product, who=access.CHANGE),
    *purge_routes(
        "products",
        queries.PRODUCT_COLUMNS,
        ProductsColumnsAnswer,
        after=remove_objects,
        # Those of topics that have gone over to another product.
        jobs="jobs.product_id in (select id from products where state = 'archived')",
        referring="select from topics join products on products.id = topics.product_id where products.state = 'archived'",
    ),
    get("/teams/{team_id:uuid}/products", list_products_of_team, ProductsColumnsAnswer, who=access.LIST_OF_TEAM),
    get("/products/{product_id:uuid}/teams", list_teams, TeamsOfProductAnswer, who=access.ATTACH),
    post("/products/{product_id:uuid}/teams", attach_team, TeamToAttach, Attached, who=access.ATTACH),
    delete("/products/{product_id:uuid}/teams/{team_id:uuid}", detach_team, who=access.ATTACH, needs_etag=False),
]
