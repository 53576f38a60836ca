# SPDX-License-Identifier: Apache-2.0
"""The URLs of feeders."""

from uuid import UUID, uuid4

from msgspec import UNSET

from dci_server.features.feeders import access, queries
from dci_server.features.feeders.model import (
    ChangedFeeder,
    FeederAnswer,
    FeedersAnswer,
    FeederWithSecretAnswer,
    NewFeeder,
)
from dci_server.foundation.auth.client_secrets import FEEDERS, NewSecret
from dci_server.foundation.database.connection import refusing_duplicates
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import (
    NO_CONTENT,
    Call,
    Response,
    answer,
    changing_identities,
    delete,
    get,
    page,
    post,
    put,
)
from dci_server.foundation.legacy_secrets import one_with_secret, page_with_secrets
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.purges import purge_routes
from dci_server.foundation.rotation import secret_routes


async def list_feeders(call: Call) -> Response:
    """The feeders of the caller's teams; never their secrets."""
    visible = access.visible_to(call.caller)
    found = await queries.list_feeders(call.db, visible, call.listing(queries.COLUMNS))
    return page(await page_with_secrets(call, FEEDERS, found))


async def get_feeder(call: Call) -> Response:
    """A feeder."""
    feeder_id = call.id("feeder_id")
    feeder = await queries.find_feeder(call.db, feeder_id, access.visible_to(call.caller))
    if feeder is None:
        if await queries.find_feeder(call.db, feeder_id, access.NOT_ARCHIVED) is None:
            raise NotFound("feeder")
        raise NotAuthorized
    return answer("feeder", await one_with_secret(call, FEEDERS, feeder), etag=True)


async def create_feeder(call: Call) -> Response:
    """A new feeder of a team. Its secret is in this answer and nowhere else."""
    new = call.body(NewFeeder)
    access.CREATE.require(call.caller)
    require_plain_name("name", new.name)
    feeder_id = uuid4()
    secret = NewSecret.for_owner(call.services.secrets, feeder_id)
    with refusing_duplicates():
        feeder = await queries.insert_feeder(call.db, feeder_id, new, secret)
    return answer("feeder", feeder, status=201, etag=True)


async def change_feeder(call: Call) -> Response:
    """Changes what the body names. Its secrets stay valid, in another team too."""
    etag, changes = call.etag(), call.body(ChangedFeeder, closed=False)
    if changes.name is not UNSET:
        require_plain_name("name", changes.name)
    new_team_id = None if changes.team_id is UNSET else UUID(changes.team_id)
    changeable = access.changeable_by(call.caller, new_team_id=new_team_id)
    with refusing_duplicates("update"):
        changed = await queries.update_feeder(call.db, call.id("feeder_id"), etag, changes, changeable)
    feeder = changed.require("feeder")
    call.services.authenticator.forget()
    return answer("feeder", feeder, etag=True)


async def delete_feeder(call: Call) -> Response:
    """Archives the feeder."""
    changeable = access.changeable_by(call.caller)
    changed = await queries.archive_feeder(call.db, call.id("feeder_id"), call.etag(), changeable)
    changed.require("feeder")
    call.services.authenticator.forget()
    return NO_CONTENT


_ONE = "/feeders/{feeder_id:uuid}"

routes = changing_identities(
    [
        get("/feeders", list_feeders, FeedersAnswer, who=access.LIST, listing=queries.COLUMNS),
        post("/feeders", create_feeder, NewFeeder, FeederWithSecretAnswer, who=access.CREATE),
        get(_ONE, get_feeder, FeederAnswer, who=access.READ),
        put(_ONE, change_feeder, ChangedFeeder, FeederAnswer, who=access.CHANGE),
        delete(_ONE, delete_feeder, who=access.CHANGE),
        *secret_routes(
            FEEDERS,
            queries.FEEDER_COLUMNS,
            FeederWithSecretAnswer,
            read=access.READ,
            change=access.CHANGE,
            changeable_by=access.changeable_by,
        ),
        *purge_routes("feeders", queries.FEEDER_COLUMNS, FeedersAnswer),
    ]
)
