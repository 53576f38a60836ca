# SPDX-License-Identifier: Apache-2.0
"""Writes docs/permissions.md from what the code declares: `python -m scripts.permissions`, or `make docs`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from dci_server.app import all_routes
from dci_server.foundation.auth.identity import Identity, SpecialTeams, TeamOfCaller
from dci_server.foundation.http import Route

PATH = Path(__file__).parent.parent / "docs" / "permissions.md"

_CONVERTOR = re.compile(r":\w+")
_SPECIAL = SpecialTeams(admin=UUID(int=1), red_hat=UUID(int=2), epm=UUID(int=3))
_ORDINARY = UUID(int=4)
_TEAMS = {"`admin`": _SPECIAL.admin, "`EPM`": _SPECIAL.epm, "`Red Hat`": _SPECIAL.red_hat, "another team": _ORDINARY}

_HEAD = """\
# Permissions

<!-- Written by `make docs` from the code (`who=` in the route tables, `foundation/auth/identity.py`). Change it there. -->

Each call declares one rule, in the `access.py` of its feature; the code asks it, this page prints it, and the permission
matrix (`tests/permissions`, statuses in `tests/permissions/matrix.txt`) proves it for every kind of caller and target.

Those whom the rule leaves out are answered as the last column says: **401** `Operation not authorized.`, or **404**, as if
nothing were there. What is absent or archived is 404 for those who would be allowed. Without valid credentials every
call is 401, except those for anybody.

## Roles

Roles are never stored. They follow from the teams of the caller; rights are the union over the teams, and a user who
sends `X-Dci-Team-Id` has that team alone. A team that is not active gives nothing.

"""


@dataclass(frozen=True)
class _Role:
    name: str
    definition: str


def page() -> str:
    """The whole document."""
    return _HEAD + "\n".join([*_roles(), "", *_who_has_which_role(), "", "## Calls", "", *_calls()]).rstrip() + "\n"


def _roles() -> Iterable[str]:
    """Defined where they are computed: the docstrings of `Identity`."""
    yield from _table_head("role", "who has it")
    for name, attribute in (
        ("super admin", "is_super_admin"),
        ("EPM", "is_epm"),
        ("read-only", "is_read_only"),
    ):
        yield _line(name, _sentence(getattr(Identity, attribute).__doc__))
    yield _line("member of a team", _sentence(Identity.belongs_to.__doc__))


def _who_has_which_role() -> Iterable[str]:
    """Asked of the code, for each kind of caller of each kind of team."""
    yield from _table_head(
        "caller", "super admin", "EPM", "read-only", "reads everything", "writes its own team's things"
    )
    for team, team_id in _TEAMS.items():
        for kind in ("user", "remoteci", "feeder"):
            caller = _identity(kind, team_id)
            yield _line(
                f"{kind} of {team}",
                _yes(caller.is_super_admin),
                _yes(caller.is_epm),
                _yes(caller.is_read_only),
                _yes(caller.reads_everything),
                _yes(caller.works_for(team_id)),
            )


def _calls() -> Iterable[str]:
    resources: dict[str, list[Route]] = {}
    for route in all_routes():
        if route.documented or not route.public:
            resources.setdefault(_resource(route), []).append(route)
    for resource in sorted(resources, key=lambda name: (name == "server", name)):
        yield f"### {resource}"
        yield ""
        yield from _table_head("call", "who may", "others")
        for route in sorted(resources[resource], key=lambda route: (_path(route), _METHODS.index(route.method))):
            yield _line(f"`{route.method} {_path(route)}`", route.who.words, _others(route))
        yield ""


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def _resource(route: Route) -> str:
    nouns = route.path.strip("/").split("/")
    return nouns[0] if route.prefix.startswith("/api/") and nouns[0] else "server"


def _path(route: Route) -> str:
    return _CONVERTOR.sub("", route.full_path)


def _others(route: Route) -> str:
    if route.public or _allows_everybody(route):
        return ""
    return "404" if route.who.hides else "401"


def _allows_everybody(route: Route) -> bool:
    kinds: tuple[Literal["user", "remoteci", "feeder"], ...] = ("user", "remoteci", "feeder")
    return all(route.who.allows(_identity(kind, _ORDINARY), False) for kind in kinds)


def _identity(kind: Literal["user", "remoteci", "feeder"], team_id: UUID) -> Identity:
    return Identity(
        kind=kind,
        id=UUID(int=9),
        name=None,
        fullname=None,
        email=None,
        timezone=None,
        etag=None,
        teams=(TeamOfCaller(team_id, "", "active", has_pre_release_access=False),),
        special_teams=_SPECIAL,
    )


def _sentence(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def _yes(fact: bool) -> str:
    return "yes" if fact else ""


def _table_head(*titles: str) -> list[str]:
    return [_line(*titles), _line(*("---" for _ in titles))]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    PATH.write_text(page())


if __name__ == "__main__":
    main()
