# SPDX-License-Identifier: Apache-2.0
"""The URLs of remotecis."""

from uuid import UUID, uuid4

from dci_server.features.remotecis import access, queries
from dci_server.features.remotecis.model import (
    NewRemoteci,
    RemoteciAnswer,
    RemotecisAnswer,
    RemoteciWithSecretAnswer,
)
from dci_server.foundation.auth.secret_box import new_secret
from dci_server.foundation.database.connection import refusing_duplicates
from dci_server.foundation.database.sql import Condition, all_of
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import Call, Response, answer, get, page, post
from dci_server.foundation.names import require_plain_name


async def list_remotecis(call: Call) -> Response:
    """The laboratories of the caller's teams; never their secrets."""
    visible = access.visible_to(call.caller)
    return page(await queries.list_remotecis(call.db, visible, call.listing(queries.COLUMNS)))


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
    return answer("remoteci", remoteci, etag=True)


async def create_remoteci(call: Call) -> Response:
    """A new laboratory of a team. Its secret is in this answer and nowhere else."""
    new = call.body(NewRemoteci)
    access.CREATE.require_for_team(call.caller, UUID(new.team_id))
    require_plain_name("name", new.name)
    remoteci_id, secret = uuid4(), new_secret()
    with refusing_duplicates():
        remoteci = await queries.insert_remoteci(
            call.db, remoteci_id, new, secret, call.services.secrets.seal(secret, remoteci_id)
        )
    return answer("remoteci", remoteci, status=201, etag=True)


routes = [
    get(
        "/teams/{team_id:uuid}/remotecis",
        list_remotecis_of_team,
        RemotecisAnswer,
        who=access.LIST_OF_TEAM,
        listing=queries.COLUMNS,
    ),
    get("/remotecis", list_remotecis, RemotecisAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/remotecis", create_remoteci, NewRemoteci, RemoteciWithSecretAnswer, who=access.CREATE),
    get("/remotecis/{remoteci_id:uuid}", get_remoteci, RemoteciAnswer, who=access.READ),
]
