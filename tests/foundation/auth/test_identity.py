# SPDX-License-Identifier: Apache-2.0
from typing import Literal
from uuid import UUID, uuid4

import pytest

from dci_server.foundation.auth.identity import Identity, SpecialTeams, TeamOfCaller
from dci_server.foundation.errors import NotAuthorized

SPECIAL = SpecialTeams(admin=uuid4(), red_hat=uuid4(), epm=uuid4())
ADMIN, RED_HAT, EPM = SPECIAL.admin, SPECIAL.red_hat, SPECIAL.epm
BLUE, RED = uuid4(), uuid4()
Kind = Literal["user", "remoteci", "feeder"]


def team(team_id: UUID, state: str = "active", has_pre_release_access: bool = False) -> TeamOfCaller:
    return TeamOfCaller(team_id, "a team", state, has_pre_release_access)


def caller(*teams: UUID | TeamOfCaller, kind: Kind = "user") -> Identity:
    return Identity(
        kind=kind,
        id=uuid4(),
        name="alice",
        fullname=None,
        email=None,
        timezone=None,
        etag=None,
        teams=tuple(team(each) if isinstance(each, UUID) else each for each in teams),
        special_teams=SPECIAL,
    )


@pytest.mark.parametrize(
    ("kind", "teams", "roles"),
    [
        ("user", [], set[str]()),
        ("user", [BLUE], set[str]()),
        ("user", [ADMIN], {"super admin", "epm"}),
        ("user", [EPM], {"epm"}),
        ("user", [RED_HAT], {"read-only"}),
        ("user", [RED_HAT, BLUE], {"read-only"}),
        ("user", [RED_HAT, EPM], {"epm", "read-only"}),
        ("remoteci", [BLUE], set[str]()),
        ("remoteci", [ADMIN], set[str]()),
        ("remoteci", [EPM], set[str]()),
        ("remoteci", [RED_HAT], {"read-only"}),
        ("feeder", [ADMIN], set[str]()),
        ("feeder", [EPM], set[str]()),
        ("feeder", [RED_HAT], {"read-only"}),
    ],
)
def test_roles_follow_from_the_special_teams(kind: Kind, teams: list[UUID], roles: set[str]) -> None:
    identity = caller(*teams, kind=kind)

    has = {"super admin": identity.is_super_admin, "epm": identity.is_epm, "read-only": identity.is_read_only}
    assert {role for role, granted in has.items() if granted} == roles
    assert identity.reads_everything == bool(roles)


@pytest.mark.parametrize("state", ["inactive", "archived"])
def test_a_team_that_is_not_active_grants_nothing(state: str) -> None:
    identity = caller(team(ADMIN, state), team(BLUE, state, has_pre_release_access=True))

    assert identity.team_ids == ()
    assert not identity.is_super_admin
    assert not identity.has_pre_release_access
    assert not identity.works_for(BLUE)


@pytest.mark.parametrize(
    ("identity", "team_id", "belongs", "works"),
    [
        (caller(BLUE), BLUE, True, True),
        (caller(BLUE), RED, False, False),
        (caller(BLUE), None, False, False),
        (caller(), BLUE, False, False),
        (caller(BLUE, RED), RED, True, True),
        (caller(ADMIN), BLUE, True, True),
        (caller(EPM), BLUE, True, True),
        (caller(EPM), None, True, True),
        (caller(EPM), RED_HAT, True, True),
        (caller(RED_HAT), BLUE, False, False),
        (caller(RED_HAT), RED_HAT, True, False),
        (caller(RED_HAT), None, False, False),
        (caller(RED_HAT, BLUE), BLUE, True, True),
        (caller(RED_HAT, BLUE), RED_HAT, True, False),
        (caller(RED_HAT, EPM), RED_HAT, True, True),
        (caller(BLUE, kind="remoteci"), BLUE, True, True),
        (caller(BLUE, kind="feeder"), None, False, False),
        (caller(ADMIN, kind="remoteci"), ADMIN, True, True),
        (caller(ADMIN, kind="remoteci"), BLUE, False, False),
        (caller(RED_HAT, kind="remoteci"), RED_HAT, True, False),
    ],
)
def test_members_write_their_teams_things_and_readers_nothing(
    identity: Identity, team_id: UUID | None, belongs: bool, works: bool
) -> None:
    assert (identity.belongs_to(team_id), identity.works_for(team_id)) == (belongs, works)


def test_one_team_with_pre_release_access_is_enough() -> None:
    assert caller(BLUE, team(RED, has_pre_release_access=True)).has_pre_release_access
    assert not caller(BLUE, RED).has_pre_release_access


@pytest.mark.parametrize(
    ("chosen", "super_admin", "epm", "read_only"),
    [(ADMIN, True, True, False), (EPM, False, True, False), (RED_HAT, False, False, True), (BLUE, False, False, False)],
)
def test_scoping_keeps_a_role_only_in_its_own_team(chosen: UUID, super_admin: bool, epm: bool, read_only: bool) -> None:
    everything = caller(ADMIN, EPM, RED_HAT, BLUE)

    scoped = everything.scoped_to(chosen)

    assert scoped.team_ids == (chosen,)
    assert (scoped.is_super_admin, scoped.is_epm, scoped.is_read_only) == (super_admin, epm, read_only)
    assert scoped.id == everything.id


@pytest.mark.parametrize("identity", [caller(BLUE), caller(ADMIN), caller(team(RED, "inactive")), caller()])
def test_scoping_to_a_team_one_is_not_in_is_refused(identity: Identity) -> None:
    with pytest.raises(NotAuthorized, match=r"^Operation not authorized\.$"):
        identity.scoped_to(RED)


@pytest.mark.parametrize("kind", ["remoteci", "feeder"])
def test_scoping_is_ignored_for_remotecis_and_feeders(kind: Kind) -> None:
    identity = caller(BLUE, kind=kind)

    assert identity.scoped_to(RED) == identity
