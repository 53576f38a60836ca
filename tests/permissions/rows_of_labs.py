# SPDX-License-Identifier: Apache-2.0
"""Remotecis and feeders."""

from collections.abc import Sequence
from dataclasses import replace

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import Rule
from tests.permissions.scene import Scene
from tests.permissions.table import (
    Body,
    Row,
    Target,
    absent,
    all_of,
    constant,
    of_nobody,
    of_team,
    row,
    sent,
    targets_of_teams,
)


def _new(team: str) -> Body:
    return lambda scene: {"name": "new", "team_id": scene.id(team)}


def _move(target: str, team: str) -> Target:
    """To another team: the caller must be in both (decision 8)."""
    return Target(
        f"Blue's, to {team}",
        {target.replace(" ", "_"): f"{target.removesuffix(' id')} of Blue"},
        all_of(of_team("Blue"), of_team(team)),
        body=lambda scene: {"team_id": scene.id(team)},
    )


def _secrets(parameter: str, singular: str, targets: Sequence[Target]) -> list[Target]:
    """Each one's own; and none of another's, nor of nobody's."""
    blue = f"{singular} of Blue"
    own = [
        replace(target, path={**target.path, "secret_id": f"secret of {target.path[parameter]}"})
        for target in targets
        if target.name != "absent"
    ]
    return [
        *own,
        Target("another's", {parameter: blue, "secret_id": f"secret of {singular} of Red"}, of_team("Blue"), told=404),
        Target("absent secret", {parameter: blue, "secret_id": "absent"}, of_team("Blue"), told=404),
        absent(parameter, "secret_id"),
    ]


def _no_user(_scene: Scene, caller: Identity) -> int:
    return 401 if caller.kind == "user" else 404


def _reader_of_red_hat(scene: Scene, caller: Identity, _rule: Rule) -> bool:
    """Who ends their own subscription writes nothing but that (decision 9)."""
    return str(caller.id) == scene.id("user reader")


def _rows(plural: str) -> list[Row]:
    singular = plural[:-1]
    one, parameter = f"/{plural}/{{{singular}_id}}", f"{singular}_id"
    targets = targets_of_teams(parameter, singular)
    etag = (plural, parameter)
    return [
        row(f"GET /{plural}"),
        row(
            f"POST /{plural}",
            [sent(f"{team}'s", of_team(team), _new(team)) for team in ("Blue", "Red", "Red Hat")],
            sent("absent team", of_nobody, _new("absent"), told=409),
        ),
        row(f"GET {one}", targets),
        row(
            f"PUT {one}",
            targets,
            [_move(f"{singular} id", team) for team in ("Red", "Red Hat")],
            body=constant({"data": {"a": 1}}),
            etag=etag,
        ),
        row(f"DELETE {one}", targets, etag=etag),
        row(f"PUT {one}/api_secret", targets, etag=etag),
        row(f"GET {one}/secrets", targets),
        row(f"DELETE {one}/secrets/{{secret_id}}", _secrets(parameter, singular, targets)),
        row(f"GET /{plural}/purge"),
        row(f"POST /{plural}/purge"),
    ]


_REMOTECIS = targets_of_teams("remoteci_id", "remoteci")

LABS = [
    *_rows("remotecis"),
    row("GET /remotecis/{remoteci_id}/data", _REMOTECIS),
    row("POST /remotecis/{remoteci_id}/users", _REMOTECIS, refused=_no_user),
    row("GET /remotecis/{remoteci_id}/users", _REMOTECIS),
    row(
        "DELETE /remotecis/{remoteci_id}/users/{user_id}",
        [replace(target, path={**target.path, "user_id": "user loner"}) for target in _REMOTECIS],
        Target(
            "Blue's, absent user",
            {"remoteci_id": "remoteci of Blue", "user_id": "absent"},
            of_team("Blue"),
            told=404,
        ),
        Target(
            "Red Hat's, oneself", {"remoteci_id": "remoteci of Red Hat", "user_id": "user reader"}, _reader_of_red_hat
        ),
    ),
    *_rows("feeders"),
]
