# SPDX-License-Identifier: Apache-2.0
"""The URLs of teams. Their users are in `users`, their remotecis and products in those slices."""

from dci_server.features.teams import access, queries
from dci_server.features.teams.model import (
    ChangedTeam,
    NewTeam,
    OtherTeams,
    TeamAnswer,
    TeamColumns,
    TeamColumnsAnswer,
    TeamsAnswer,
    TeamsColumnsAnswer,
)
from dci_server.foundation.database.connection import Json, Record, refusing_duplicates
from dci_server.foundation.errors import Conflict, NotFound
from dci_server.foundation.events.actor import by
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
from dci_server.foundation.names import require_plain_name
from dci_server.foundation.purges import purge_routes, remove_objects

KEEPS_ROLE = "the team carries a role: it can't be renamed, archived or deleted, and the admin team stays active"


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
    new = call.body(NewTeam)
    access.CREATE.require(call.caller)
    require_plain_name("name", new.name)
    require_plain_name("country", new.country)
    with refusing_duplicates():
        team = await queries.insert_team(call.db, new, call.caller)
    return answer("team", team, status=201, etag=True)


async def change_team(call: Call) -> Response:
    """Changes what the body names; `state: archived` does what deleting does."""
    etag = call.etag()
    changes = call.body(ChangedTeam, closed=False)
    access.CHANGE.require(call.caller)
    if changes.state == "archived":
        access.DELETE.require(call.caller)
    require_plain_name("name", changes.name)
    require_plain_name("country", changes.country)
    team = await _change(call, etag, changes, stale="update failed, either team not found or etag not matched")
    return answer("team", team, etag=True)


async def delete_team(call: Call) -> Response:
    """Archives the team with its remotecis, their jobs and files; its users are no longer its members."""
    stale = "delete failed, either team already deleted or etag not matched"
    await _change(call, call.etag(), ChangedTeam(state="archived"), stale=stale)
    return NO_CONTENT


async def _change(call: Call, etag: str, changes: ChangedTeam, *, stale: str) -> Json[TeamColumns]:
    is_deletion = changes.state == "archived"
    allowed = access.deletable_by(call.caller) if is_deletion else access.changeable_by(call.caller)
    with refusing_duplicates("update"):
        change = await queries.update_team(call.db, call.id("team_id"), etag, changes, by(call.caller, allowed))
    team = change.require("team", stale=Conflict(stale), impossible=Conflict(KEEPS_ROLE))
    call.services.authenticator.forget()
    return team


async def list_granted_teams(call: Call) -> Response:
    """The teams whose components this team may read."""
    access.GRANT.require(call.caller)
    teams = await queries.list_granted_teams(call.db, call.id("team_id"))
    if teams is None:
        raise NotFound("team")
    return page(teams)


async def grant_components(call: Call) -> Response:
    """Lets the team read the components of others: all of those named, or of none when one does not exist."""
    access.GRANT.require(call.caller)
    others = call.body(OtherTeams).teams_ids
    with refusing_duplicates():
        _require_known(await queries.grant_components(call.db, call.id("team_id"), others))
    return Response(201)


async def withdraw_components(call: Call) -> Response:
    """Takes that back; 204 too for what was not granted (decision 50)."""
    access.GRANT.require(call.caller)
    others = call.body(OtherTeams).teams_ids
    _require_known(await queries.withdraw_components(call.db, call.id("team_id"), others))
    return NO_CONTENT


def _require_known(facts: Record) -> None:
    if not facts["team_is_known"] or not facts["others_are_known"]:
        raise NotFound("team")


_TEAM, _GRANTS = "/teams/{team_id:uuid}", "/teams/{team_id:uuid}/permissions/components"

routes = changing_identities(
    [
        get("/teams", list_teams, TeamsAnswer, who=access.LIST, listing=queries.COLUMNS),
        post("/teams", create_team, NewTeam, TeamColumnsAnswer, who=access.CREATE),
        *purge_routes(
            "teams",
            queries.TEAM_COLUMNS,
            TeamsColumnsAnswer,
            after=remove_objects,
            jobs=queries.OF_ARCHIVED_TEAMS,
            size="""select coalesce(sum(component_files.size), 0)
                    from component_files join components on components.id = component_files.component_id
                    where components.team_id in (select id from purged)""",
        ),
        get(_TEAM, get_team, TeamAnswer, who=access.READ),
        put(_TEAM, change_team, ChangedTeam, TeamColumnsAnswer, who=access.CHANGE),
        delete(_TEAM, delete_team, who=access.DELETE),
        get(_GRANTS, list_granted_teams, TeamsColumnsAnswer, who=access.GRANT),
        post(_GRANTS, grant_components, OtherTeams, None, who=access.GRANT),
        delete(_GRANTS, withdraw_components, who=access.GRANT, needs_etag=False, body=OtherTeams),
    ]
)
