# SPDX-License-Identifier: Apache-2.0
"""The words in which the rows of the matrix are written.

A row is a route; its targets say on what it is called, how a valid request on that looks, and whose that is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import Rule
from dci_server.foundation.http import Route
from tests.permissions.scene import OWNERS, Scene

Own = Callable[[Scene, Identity, Rule], bool]
"""Whether a target is the caller's, said anew here and not taken from the server."""
Body = Callable[[Scene], object]
Refused = Callable[[Scene, Identity], int]
"""What those are told whom the rule does not allow, where that is not what the rule says: 401, or 404."""

_CONVERTOR = re.compile(r":\w+")


def path_of(route: Route) -> str:
    """Without the kinds of its parameters."""
    return _CONVERTOR.sub("", route.full_path)


def name_of(route: Route) -> str:
    """`GET /jobs/{job_id}`; v2 and the server's own addresses keep their prefix."""
    path = path_of(route)
    return f"{route.method} {path.removeprefix('/api/v1') or path}"


def of_nobody(_scene: Scene, _caller: Identity, _rule: Rule) -> bool:
    return False


@dataclass(frozen=True)
class Target:
    """`path` maps the parameters of the path to names in the scene, or gives their values."""

    name: str
    path: Mapping[str, str] = field(default_factory=dict[str, str])
    own: Own = of_nobody
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    told: int | None = None
    """To those who are allowed, when it can't be done: 404 when there is nothing, 409 when it is impossible."""
    also: Callable[[Identity], bool] = lambda _caller: True
    """What the words of the rule ask for in addition on this target."""
    refused: Refused | None = None


@dataclass(frozen=True)
class Row:
    """`etag` is the table, and the parameter of the path or the name in the scene, whose etag goes into If-match."""

    route: str
    targets: Sequence[Target]
    etag: tuple[str, str] | None = None


def row(
    route: str,
    *targets: Target | Sequence[Target],
    body: Body | None = None,
    etag: tuple[str, str] | None = None,
    refused: Refused | None = None,
) -> Row:
    """`body` and `refused` are those of every target without its own."""
    flat: list[Target] = []
    for target in targets or (Target("-"),):
        flat.extend([target] if isinstance(target, Target) else target)
    flat = [replace(target, body=target.body or body, refused=target.refused or refused) for target in flat]
    return Row(route, flat, etag)


# --- whose something is ---


def _teams(caller: Identity, rule: Rule) -> list[str]:
    """Those that count: where something is written, Red Hat makes nothing one's own (decision 9)."""
    return [team.name for team in caller.teams if not (rule.writes and team.name == "Red Hat")]


def of_team(team: str) -> Own:
    return lambda _scene, caller, rule: team in _teams(caller, rule)


def any_of(*conditions: Own) -> Own:
    return lambda scene, caller, rule: any(own(scene, caller, rule) for own in conditions)


def all_of(*conditions: Own) -> Own:
    return lambda scene, caller, rule: all(own(scene, caller, rule) for own in conditions)


def with_product(product: str) -> Own:
    """A team of the caller has the product."""
    return lambda scene, caller, rule: not scene.attached[product].isdisjoint(_teams(caller, rule))


def with_topic(name: str) -> Own:
    """The product's teams, and for a topic that is not exported, pre-release access of any team (permissions §2.2)."""

    def own(scene: Scene, caller: Identity, rule: Rule) -> bool:
        topic = scene.topics[name]
        may_use = topic.is_exported or any(team.has_pre_release_access for team in caller.teams)
        return may_use and with_product(topic.product)(scene, caller, rule)

    return own


def any_feeder(_scene: Scene, caller: Identity, rule: Rule) -> bool:
    return caller.kind == "feeder" and bool(_teams(caller, rule))


def user(name: str) -> Own:
    """The user themselves."""
    return lambda scene, caller, _rule: str(caller.id) == scene.id(f"user {name}")


# --- sets of targets ---


def targets_of_teams(parameter: str, thing: str) -> list[Target]:
    """A `thing` of Blue, of Red, of Red Hat, an archived one that was Blue's, and none."""
    owned = [Target(f"{team}'s", {parameter: f"{thing} of {team}"}, of_team(team)) for team in OWNERS]
    return [*owned, archived(parameter, thing, of_team("Blue")), absent(parameter)]


def archived(parameter: str, thing: str, own: Own, *, told: int = 404) -> Target:
    return Target("archived", {parameter: f"{thing} archived"}, own, told=told)


def absent(*parameters: str, told: int = 404) -> Target:
    return Target("absent", dict.fromkeys(parameters, "absent"), told=told)


def sent(name: str, own: Own, body: Body, *, told: int | None = None, refused: Refused | None = None) -> Target:
    """A target that the body names, not the path."""
    return Target(name, own=own, body=body, told=told, refused=refused)


def sent_of_teams(thing: str, body: Callable[[str], Body]) -> list[Target]:
    """Like `targets_of_teams` for what the body names."""
    return [
        *(sent(f"{team}'s", of_team(team), body(f"{thing} of {team}")) for team in OWNERS),
        sent("archived", of_team("Blue"), body(f"{thing} archived"), told=404),
        sent("absent", of_nobody, body("absent"), told=404),
    ]


def constant(value: object) -> Body:
    return lambda _scene: value
