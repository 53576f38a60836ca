# SPDX-License-Identifier: Apache-2.0
"""The URL of the caller's own identity."""

import msgspec

from dci_server.features.identity.model import Identity, IdentityAnswer
from dci_server.foundation.auth.identity import TeamOfCaller
from dci_server.foundation.auth.rules import EVERYBODY
from dci_server.foundation.http import Call, Response, get


async def get_identity(call: Call) -> Response:
    """Who is calling, and of which teams. Known callers cost no query."""
    caller = call.caller
    told = _team_of_user if caller.kind == "user" else _team_of_client
    identity = Identity(
        id=str(caller.id),
        etag=caller.etag,
        name=caller.name,
        fullname=caller.fullname,
        email=caller.email,
        timezone=caller.timezone,
        teams={str(team.id): told(team) for team in caller.teams},
    )
    headers = ((b"etag", caller.etag.encode()),) if caller.etag else ()
    return Response(200, msgspec.json.encode(IdentityAnswer(identity)), headers)


def _team_of_user(team: TeamOfCaller) -> dict[str, object]:
    return {"id": str(team.id), "name": team.name, "has_pre_release_access": team.has_pre_release_access}


def _team_of_client(team: TeamOfCaller) -> dict[str, object]:
    # quirk: remotecis and feeders have other keys here, and clients read the first id only.
    return {"team_name": team.name, "state": team.state, "has_pre_release_access": team.has_pre_release_access}


routes = [get("/identity", get_identity, IdentityAnswer, who=EVERYBODY)]
