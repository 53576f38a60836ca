# SPDX-License-Identifier: Apache-2.0
"""The URLs of users, of the caller's own profile, and of who is in which team."""

from dci_server.features.teams import access as teams
from dci_server.features.teams.model import TeamsColumnsAnswer
from dci_server.features.users import access, actions, queries
from dci_server.features.users.model import (
    ChangedProfile,
    ChangedUser,
    NewUser,
    RemotecisOfUserAnswer,
    UserAnswer,
    UserColumnsAnswer,
    UsersAnswer,
    UsersColumnsAnswer,
)
from dci_server.foundation.errors import NotFound
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
from dci_server.foundation.purges import purge_routes


async def list_users(call: Call) -> Response:
    """All users, with their teams."""
    listing = call.listing(queries.COLUMNS)
    access.LIST.require(call.caller)
    return page(await queries.list_users(call.db, access.NOT_ARCHIVED, listing))


async def create_user(call: Call) -> Response:
    """A new user, in no team."""
    new = call.body(NewUser)
    login = new.login
    access.CREATE.require(call.caller)
    user = await actions.create_user(call.db, call.services.authenticator, new, login)
    return answer("user", user, status=201, etag=True)


async def get_user(call: Call) -> Response:
    """A user with their teams and the remotecis they subscribed to."""
    user_id = call.id("user_id")
    access.READ.require(call.caller, own=call.caller.id == user_id)
    user = await queries.find_user(call.db, user_id, access.NOT_ARCHIVED)
    if user is None:
        raise NotFound("user")
    return answer("user", user, etag=True)


async def get_oneself(call: Call) -> Response:
    """The calling user, with all teams whatever the scope."""
    user = await queries.find_user(call.db, call.caller.id, access.NOT_ARCHIVED)
    if user is None:
        raise NotFound("user")
    return answer("user", user, etag=True)


async def change_oneself(call: Call) -> Response:
    """Changes the calling user's own profile, given the current password. Empty texts change nothing."""
    etag = call.etag()
    changes = call.body(ChangedProfile, closed=False)
    user = await actions.change_profile(call.db, call.services.authenticator, call.caller, etag, changes)
    return answer("user", user, etag=True)


async def change_user(call: Call) -> Response:
    """Changes what the body names, of archived users too. An empty password changes nothing."""
    changes = call.body(ChangedUser, closed=False)
    etag = call.etag()
    access.CHANGE.require(call.caller)
    user = await actions.change_user(call.db, call.services.authenticator, call.id("user_id"), etag, changes)
    return answer("user", user, etag=True)


async def delete_user(call: Call) -> Response:
    """Archives the user."""
    deletable = access.deletable_by(call.caller)
    await actions.delete_user(call.db, call.services.authenticator, call.id("user_id"), call.etag(), deletable)
    return NO_CONTENT


async def list_remotecis(call: Call) -> Response:
    """The remotecis of whose failures the user is told."""
    user_id = call.id("user_id")
    access.READ.require(call.caller, own=call.caller.id == user_id)
    remotecis = await queries.list_remotecis_of(call.db, user_id)
    if remotecis is None:
        raise NotFound("user")
    return page(remotecis)


async def list_teams(call: Call) -> Response:
    """The teams that the user is in."""
    user_id = call.id("user_id")
    access.READ.require(call.caller, own=call.caller.id == user_id)
    found = await queries.list_teams_of(call.db, user_id)
    if found is None:
        raise NotFound("user")
    return page(found)


async def list_members(call: Call) -> Response:
    """The users of a team."""
    access.LIST_OF_TEAM.require_for_team(call.caller, call.id("team_id"))
    users = await queries.list_users_of_team(call.db, call.id("team_id"))
    if users is None:
        raise NotFound("team")
    return page(users)


async def add_member(call: Call) -> Response:
    """Makes the user a member of the team; repeating it changes nothing."""
    access.CHANGE_TEAM.require(call.caller)
    changeable = teams.changeable_by(call.caller)
    await actions.add_member(call.db, call.services.authenticator, call.id("team_id"), call.id("user_id"), changeable)
    return Response(201)


async def remove_member(call: Call) -> Response:
    """Ends a membership; 204 too when there was none."""
    access.CHANGE_TEAM.require(call.caller)
    changeable = teams.changeable_by(call.caller)
    await actions.remove_member(
        call.db, call.services.authenticator, call.id("team_id"), call.id("user_id"), changeable
    )
    return NO_CONTENT


_USER, _MEMBER = "/users/{user_id:uuid}", "/teams/{team_id:uuid}/users/{user_id:uuid}"

routes = changing_identities(
    [
        # The caller's identity is a user here, so this is where it can be changed.
        put("/identity", change_oneself, ChangedProfile, UserColumnsAnswer, who=access.ONESELF),
        get("/users/me", get_oneself, UserAnswer, who=access.ONESELF),
        put("/users/me", change_oneself, ChangedProfile, UserColumnsAnswer, who=access.ONESELF),
        *purge_routes("users", queries.USER_COLUMNS, UsersColumnsAnswer),
        get("/users", list_users, UsersAnswer, who=access.LIST, listing=queries.COLUMNS),
        post("/users", create_user, NewUser, UserColumnsAnswer, who=access.CREATE),
        get(_USER, get_user, UserAnswer, who=access.READ),
        put(_USER, change_user, ChangedUser, UserColumnsAnswer, who=access.CHANGE),
        delete(_USER, delete_user, who=access.DELETE),
        get("/users/{user_id:uuid}/remotecis", list_remotecis, RemotecisOfUserAnswer, who=access.READ),
        get("/users/{user_id:uuid}/teams", list_teams, TeamsColumnsAnswer, who=access.READ),
        get("/teams/{team_id:uuid}/users", list_members, UsersColumnsAnswer, who=access.LIST_OF_TEAM),
        post(_MEMBER, add_member, None, None, who=access.CHANGE_TEAM),
        delete(_MEMBER, remove_member, who=access.CHANGE_TEAM, needs_etag=False),
    ]
)
