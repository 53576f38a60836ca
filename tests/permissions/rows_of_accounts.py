# SPDX-License-Identifier: Apache-2.0
"""Identity, users, teams, membership, audits, and what needs no identity."""

from collections.abc import Callable
from dataclasses import replace

from dci_server.foundation.auth.identity import Identity
from tests.permissions.scene import OWNERS, PASSWORD
from tests.permissions.table import Target, absent, constant, of_team, row, user

_ARCHIVED = constant({"state": "archived"})
_SPECIAL = ("admin", "EPM", "Red Hat")
_USERS = [
    Target("alice", {"user_id": "user alice"}, user("alice")),
    Target("nobody", {"user_id": "user nobody"}, user("nobody")),
    Target("admin", {"user_id": "user admin"}, user("admin")),
    Target("archived", {"user_id": "user archived user"}, told=404),
    absent("user_id"),
]
_OWN_PROFILE = constant({"current_password": PASSWORD, "fullname": "Somebody Else"})


def _only_super_admins(caller: Identity) -> bool:
    return caller.is_super_admin


def _with_role(team: str) -> Callable[[Identity], bool]:
    """The teams that carry a role are the super admins' (decision 11)."""
    return _only_super_admins if team in _SPECIAL else lambda _caller: True


def _teams(*names: str) -> list[Target]:
    return [
        *(Target(name, {"team_id": name}, of_team(name)) for name in names),
        Target("archived", {"team_id": "archived team"}, told=404),
        absent("team_id"),
    ]


def _members(user_name: str) -> list[Target]:
    return [
        *(
            Target(name, {"team_id": name, "user_id": user_name}, of_team(name), also=_with_role(name))
            for name in (*OWNERS, "EPM", "admin")
        ),
        Target("archived team", {"team_id": "archived team", "user_id": user_name}, told=404),
        Target("absent team", {"team_id": "absent", "user_id": user_name}, told=404),
        Target("Blue, archived user", {"team_id": "Blue", "user_id": "user archived user"}, of_team("Blue"), told=404),
        Target("Blue, absent user", {"team_id": "Blue", "user_id": "absent"}, of_team("Blue"), told=404),
    ]


ACCOUNTS = [
    row("GET /identity"),
    row("PUT /identity", body=_OWN_PROFILE, etag=("users", "caller")),
    row("GET /users"),
    row("POST /users", body=constant({"email": "new@example.org"})),
    row("GET /users/me"),
    row("PUT /users/me", body=_OWN_PROFILE, etag=("users", "caller")),
    row("GET /users/{user_id}", _USERS),
    row(
        "PUT /users/{user_id}",
        # An archived one can be brought back; an unknown one is told like a stale etag.
        [replace(target, told=409 if target.name == "absent" else None) for target in _USERS],
        body=constant({"fullname": "Somebody Else"}),
        etag=("users", "user_id"),
    ),
    row("DELETE /users/{user_id}", _USERS, etag=("users", "user_id")),
    row("GET /users/{user_id}/remotecis", _USERS),
    row("GET /users/{user_id}/teams", _USERS),
    row("GET /users/purge"),
    row("POST /users/purge"),
    row("GET /teams"),
    row("POST /teams", body=constant({"name": "new"})),
    row("GET /teams/{team_id}", _teams(*OWNERS, "admin")),
    row(
        "PUT /teams/{team_id}",
        [replace(target, also=_with_role(target.name)) for target in _teams(*OWNERS, "EPM", "admin")],
        Target("Blue, archiving it", {"team_id": "Blue"}, body=_ARCHIVED, also=_only_super_admins),
        Target(
            "EPM, renaming it", {"team_id": "EPM"}, body=constant({"name": "new"}), told=409, also=_only_super_admins
        ),
        body=constant({"country": "FR"}),
        etag=("teams", "team_id"),
    ),
    row(
        "DELETE /teams/{team_id}",
        [
            replace(target, told=409 if target.name in _SPECIAL else target.told)
            for target in _teams("Blue", "Red", *_SPECIAL)
        ],
        etag=("teams", "team_id"),
    ),
    row("GET /teams/{team_id}/remotecis", _teams(*OWNERS)),
    row("GET /teams/{team_id}/products", _teams(*OWNERS)),
    row("GET /teams/{team_id}/users", _teams(*OWNERS)),
    row("POST /teams/{team_id}/users/{user_id}", _members("user loner")),
    row("DELETE /teams/{team_id}/users/{user_id}", _members("user boss")),
    row("GET /teams/{team_id}/permissions/components", _teams(*OWNERS)),
    row(
        "POST /teams/{team_id}/permissions/components",
        _teams(*OWNERS),
        Target(
            "Blue, absent team", {"team_id": "Blue"}, body=lambda scene: {"teams_ids": [scene.id("absent")]}, told=404
        ),
        body=lambda scene: {"teams_ids": [scene.id("Green")]},
    ),
    row(
        "DELETE /teams/{team_id}/permissions/components",
        _teams(*OWNERS),
        body=lambda scene: {"teams_ids": [scene.id("Yellow")]},
    ),
    row("GET /teams/purge"),
    row("POST /teams/purge"),
    row("GET /audits"),
    row("GET /events"),
]

_ADDRESSES = (
    "/api/v1",
    "/api/v2",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/start.js",
)
SERVER = [row(f"GET {address}") for address in _ADDRESSES]
