# SPDX-License-Identifier: Apache-2.0
"""The URLs of teams."""

from dci_server.features.audits.actions import audit
from dci_server.features.teams import access, queries
from dci_server.features.teams.model import NewTeam, TeamAnswer, TeamColumnsAnswer, TeamsAnswer
from dci_server.foundation.database.connection import refusing_duplicates
from dci_server.foundation.errors import NotFound
from dci_server.foundation.http import Call, Response, answer, get, page, post
from dci_server.foundation.names import require_plain_name


async def list_teams(call: Call) -> Response:
    """The teams that the caller belongs to; all of them for privileged readers."""
    return page(await queries.list_teams(call.db, access.visible_to(call.caller), call.listing(queries.COLUMNS)))


async def get_team(call: Call) -> Response:
    """A team with its laboratories."""
    team = await queries.find_team(call.db, call.id("team_id"), access.NOT_ARCHIVED)
    if team is None:
        raise NotFound("team")
    access.READ.require_for_team(call.caller, call.id("team_id"))
    return answer("team", team, etag=True)


async def create_team(call: Call) -> Response:
    """A new team, without members."""
    await audit(call.db, call.caller, "create_teams")
    new = call.body(NewTeam)
    access.CREATE.require(call.caller)
    require_plain_name("name", new.name)
    require_plain_name("country", new.country)
    with refusing_duplicates():
        team = await queries.insert_team(call.db, new)
    return answer("team", team, status=201, etag=True)


routes = [
    get("/teams", list_teams, TeamsAnswer, who=access.LIST, listing=queries.COLUMNS),
    post("/teams", create_team, NewTeam, TeamColumnsAnswer, who=access.CREATE),
    get("/teams/{team_id:uuid}", get_team, TeamAnswer, who=access.READ),
]
