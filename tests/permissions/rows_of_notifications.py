# SPDX-License-Identifier: Apache-2.0
"""Webhooks and what they were told."""

from dataclasses import replace

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import Rule
from tests.permissions.scene import OWNERS, Scene
from tests.permissions.table import Body, Own, Row, Target, absent, constant, of_nobody, row, sent

_URL = "https://ci.example.org/hook"


def _of_team(team: str) -> Own:
    """EPM counts as a member of every team; the hub's own belong to nobody."""

    def own(_scene: Scene, caller: Identity, rule: Rule) -> bool:
        is_member = team in [each.name for each in caller.teams] and not (rule.writes and team == "Red Hat")
        return is_member or caller.is_epm

    return own


def _new(team: str | None) -> Body:
    return lambda scene: {"name": "new", "url": _URL, "team_id": scene.id(team) if team else None}


_WEBHOOKS = [
    *(Target(f"{team}'s", {"webhook_id": f"webhook of {team}"}, _of_team(team)) for team in OWNERS),
    Target("the hub's", {"webhook_id": "webhook of the hub"}),
    absent("webhook_id"),
]
_DELIVERIES = [
    *(
        replace(target, path={**target.path, "delivery_id": f"delivery to {target.path['webhook_id']}"})
        for target in _WEBHOOKS
        if target.name != "absent"
    ),
    Target(
        "another's",
        {"webhook_id": "webhook of Blue", "delivery_id": "delivery to webhook of Red"},
        _of_team("Blue"),
        told=404,
    ),
    absent("webhook_id", "delivery_id"),
]
_ONE = "/webhooks/{webhook_id}"
_ETAG = ("webhooks", "webhook_id")

NOTIFICATIONS: list[Row] = [
    row("GET /webhooks"),
    row(
        "POST /webhooks",
        [sent(f"{team}'s", _of_team(team), _new(team)) for team in OWNERS],
        sent("the hub's", of_nobody, _new(None)),
        sent("absent team", _of_team("absent"), _new("absent"), told=409),
    ),
    row(f"GET {_ONE}", _WEBHOOKS),
    row(f"PUT {_ONE}", _WEBHOOKS, body=constant({"name": "other"}), etag=_ETAG),
    row(f"DELETE {_ONE}", _WEBHOOKS, etag=_ETAG),
    row(f"PUT {_ONE}/secret", _WEBHOOKS, etag=_ETAG),
    row(f"POST {_ONE}/ping", _WEBHOOKS),
    row(f"GET {_ONE}/deliveries", _WEBHOOKS),
    row(f"GET {_ONE}/deliveries/{{delivery_id}}", _DELIVERIES),
    row(f"POST {_ONE}/deliveries/{{delivery_id}}/redeliver", _DELIVERIES),
]
