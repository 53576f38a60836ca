# SPDX-License-Identifier: Apache-2.0
"""The URLs of remotecis."""

from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET

from dci_server.features.remotecis import access, queries
from dci_server.features.remotecis.model import (
    ArchivedRemotecisAnswer,
    ChangedRemoteci,
    NewRemoteci,
    RemoteciAnswer,
    RemoteciColumnsAnswer,
    RemoteciData,
    RemotecisAnswer,
    RemoteciWithSecretAnswer,
    Subscribed,
    SubscribersAnswer,
)
from dci_server.foundation.auth.client_secrets import REMOTECIS, NewSecret
from dci_server.foundation.database.connection import Json, Record, refusing_duplicates
from dci_server.foundation.database.sql import Condition, all_of
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import (
    NO_CONTENT,
    Call,
    Response,
    answer,
    changing_identities,
    delete,
    encode,
    get,
    page,
    post,
    put,
)
from dci_server.foundation.legacy_secrets import one_with_secret, page_with_secrets
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.parameters import Parameter
from dci_server.foundation.purges import purge_routes, remove_objects
from dci_server.foundation.rotation import secret_routes

KEYS = Parameter("keys", "Only these keys, separated by commas; those that do not exist are left out.")


async def list_remotecis(call: Call) -> Response:
    """The laboratories of the caller's teams; never their secrets."""
    visible = access.visible_to(call.caller)
    found = await queries.list_remotecis(call.db, visible, call.listing(queries.COLUMNS))
    return page(await page_with_secrets(call, REMOTECIS, found))


async def list_remotecis_of_team(call: Call) -> Response:
    """The laboratories of one team."""
    team_id = call.id("team_id")
    access.LIST_OF_TEAM.require_for_team(call.caller, team_id)
    if not await queries.team_exists(call.db, team_id):
        raise NotFound("team")
    of_team = all_of(access.NOT_ARCHIVED, Condition("remotecis.team_id = %(team_id)s::uuid", {"team_id": team_id}))
    return page(await queries.list_remotecis(call.db, of_team, call.listing(queries.COLUMNS)))


async def get_remoteci(call: Call) -> Response:
    """A laboratory with its team and those who are told of its failures."""
    remoteci_id = call.id("remoteci_id")
    remoteci = await queries.find_remoteci(call.db, remoteci_id, access.visible_to(call.caller))
    if remoteci is None:
        if await queries.find_remoteci(call.db, remoteci_id, access.NOT_ARCHIVED) is None:
            raise NotFound("remoteci")
        raise NotAuthorized
    return answer("remoteci", await one_with_secret(call, REMOTECIS, remoteci), etag=True)


async def create_remoteci(call: Call) -> Response:
    """A new laboratory of a team. Its secret is in this answer and nowhere else."""
    new = call.body(NewRemoteci)
    access.CREATE.require_for_team(call.caller, UUID(new.team_id))
    require_plain_name("name", new.name)
    remoteci_id = uuid4()
    secret = NewSecret.for_owner(call.services.secrets, remoteci_id)
    with refusing_duplicates():
        remoteci = await queries.insert_remoteci(call.db, remoteci_id, new, secret, call.caller)
    return answer("remoteci", remoteci, status=201, etag=True)


async def change_remoteci(call: Call) -> Response:
    """Changes what the body names. Its secrets stay valid, in another team too."""
    etag, changes = call.etag(), call.body(ChangedRemoteci, closed=False)
    if changes.name is not UNSET:
        require_plain_name("name", changes.name)
    new_team_id = None if changes.team_id is UNSET else UUID(changes.team_id)
    changeable = access.changeable_by(call.caller, new_team_id=new_team_id)
    with refusing_duplicates("update"):
        changed = await queries.update_remoteci(call.db, call.id("remoteci_id"), etag, changes, changeable)
    remoteci = changed.require("remoteci")
    call.services.authenticator.forget()
    return answer("remoteci", remoteci, etag=True)


async def delete_remoteci(call: Call) -> Response:
    """Archives the laboratory and its jobs, and removes the subscriptions to it."""
    changeable = access.changeable_by(call.caller)
    changed = await queries.archive_remoteci(call.db, call.id("remoteci_id"), call.etag(), changeable)
    changed.require("remoteci")
    call.services.authenticator.forget()
    return NO_CONTENT


async def get_data(call: Call) -> Response:
    """What the laboratory keeps about itself, bare."""
    found = await queries.find_data(call.db, call.id("remoteci_id"))
    if found is None:
        raise NotFound("remoteci")
    access.READ.require_for_team(call.caller, found["team_id"])
    keys = KEYS.read(call.parameters)
    if keys is None:
        return page(Json[RemoteciData](found["data"]))
    wanted = set(keys.split(","))
    data = msgspec.json.decode(found["data"], type=dict[str, msgspec.Raw])
    return encode({key: value for key, value in data.items() if key in wanted})


async def list_subscribers(call: Call) -> Response:
    """Those who are told of the laboratory's failures."""
    found = await queries.list_subscribers(call.db, call.id("remoteci_id"))
    if found is None:
        raise NotFound("remoteci")
    access.READ_SUBSCRIBERS.require_for_team(call.caller, found["team_id"])
    return page(Json[SubscribersAnswer](found["users"]))


async def subscribe(call: Call) -> Response:
    """Tells the caller of failures from now on, whoever the body names; repeating it changes nothing."""
    remoteci_id, user_id = call.id("remoteci_id"), call.caller.id
    allowed = access.with_subscription_of(call.caller, user_id)
    _require_all(await queries.subscribe(call.db, remoteci_id, user_id, allowed))
    return encode(Subscribed(str(user_id), str(remoteci_id)), status=201)


async def unsubscribe(call: Call) -> Response:
    """Tells a user no more; 204 too when there was no subscription (decision 50)."""
    user_id = call.id("user_id")
    allowed = access.with_subscription_of(call.caller, user_id)
    _require_all(await queries.unsubscribe(call.db, call.id("remoteci_id"), user_id, allowed))
    return NO_CONTENT


def _require_all(facts: Record) -> None:
    if not facts["remoteci_is_known"]:
        raise NotFound("remoteci")
    if not facts["user_is_known"]:
        raise NotFound("user")
    if not facts["is_allowed"]:
        raise NotAuthorized


_ONE = "/remotecis/{remoteci_id:uuid}"

routes = changing_identities(
    [
        get(
            "/teams/{team_id:uuid}/remotecis",
            list_remotecis_of_team,
            RemotecisAnswer,
            who=access.LIST_OF_TEAM,
            listing=queries.COLUMNS,
        ),
        get("/remotecis", list_remotecis, RemotecisAnswer, who=access.LIST, listing=queries.COLUMNS),
        post("/remotecis", create_remoteci, NewRemoteci, RemoteciWithSecretAnswer, who=access.CREATE),
        get(_ONE, get_remoteci, RemoteciAnswer, who=access.READ),
        put(_ONE, change_remoteci, ChangedRemoteci, RemoteciColumnsAnswer, who=access.CHANGE),
        delete(_ONE, delete_remoteci, who=access.CHANGE),
        get(_ONE + "/data", get_data, RemoteciData, who=access.READ, query=(KEYS,)),
        get(_ONE + "/users", list_subscribers, SubscribersAnswer, who=access.READ_SUBSCRIBERS),
        post(_ONE + "/users", subscribe, None, Subscribed, who=access.SUBSCRIBE),
        delete(_ONE + "/users/{user_id:uuid}", unsubscribe, who=access.UNSUBSCRIBE, needs_etag=False),
        *secret_routes(
            REMOTECIS,
            queries.REMOTECI_COLUMNS,
            RemoteciWithSecretAnswer,
            read=access.READ_SECRETS,
            change=access.CHANGE,
            changeable_by=access.changeable_by,
        ),
        *purge_routes(
            "remotecis",
            queries.REMOTECI_COLUMNS,
            ArchivedRemotecisAnswer,
            after=remove_objects,
            jobs="jobs.remoteci_id in (select id from remotecis where state = 'archived')",
        ),
    ]
)
