# SPDX-License-Identifier: Apache-2.0
"""The one `Identity` every scheme ends in: the words in which permissions are said (permissions §1)."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from uuid import UUID

from dci_server.foundation.errors import NotAuthorized

Kind: TypeAlias = Literal["user", "remoteci", "feeder"]


@dataclass(frozen=True, slots=True)
class SpecialTeams:
    """The teams that give a role, bound by id when the server is provisioned (decision 11)."""

    admin: UUID
    red_hat: UUID
    epm: UUID


@dataclass(frozen=True, slots=True)
class TeamOfCaller:
    id: UUID
    name: str
    state: str
    has_pre_release_access: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling. Roles are never stored: they follow from the teams, so that narrowing the teams narrows them.

    Rights are the union over the teams: a user of Red Hat and Blue reads everything and writes Blue's things.
    """

    kind: Kind
    id: UUID
    name: str | None
    fullname: str | None
    email: str | None
    timezone: str | None
    etag: str | None
    teams: tuple[TeamOfCaller, ...]
    special_teams: SpecialTeams

    def __post_init__(self) -> None:
        # A team that is not active grants nothing, whoever builds the identity (decision 12).
        object.__setattr__(self, "teams", tuple(team for team in self.teams if team.state == "active"))

    @property
    def team_ids(self) -> tuple[UUID, ...]:
        return tuple(team.id for team in self.teams)

    @property
    def is_super_admin(self) -> bool:
        """A user of the team `admin`; its remotecis and feeders are ordinary ones."""
        return self.kind == "user" and self.special_teams.admin in self.team_ids

    @property
    def is_epm(self) -> bool:
        """A user of the team `EPM`, and every super admin."""
        return self.is_super_admin or (self.kind == "user" and self.special_teams.epm in self.team_ids)

    @property
    def is_read_only(self) -> bool:
        """A user, remoteci or feeder of the team `Red Hat`. An EPM in that team is still an EPM: ask that first."""
        return self.special_teams.red_hat in self.team_ids

    @property
    def reads_everything(self) -> bool:
        return self.is_read_only or self.is_epm

    @property
    def has_pre_release_access(self) -> bool:
        return any(team.has_pre_release_access for team in self.teams)

    def belongs_to(self, team_id: UUID | None) -> bool:
        """May read what the team keeps to itself: a member, or an EPM, who counts as one of every team."""
        return self.is_epm or (team_id is not None and team_id in self.team_ids)

    def works_for(self, team_id: UUID | None) -> bool:
        """May write the team's things, or with None those of no team.

        Membership of Red Hat is for reading (decision 9), so it does not open Red Hat's own things for writing either.
        """
        return self.is_epm or (self.belongs_to(team_id) and team_id != self.special_teams.red_hat)

    def scoped_to(self, team_id: UUID) -> "Identity":
        """The same user as a member of that team alone; super admins are refused others too (conventions §11).

        Remotecis and feeders have one team anyway, and the header is ignored for them.
        """
        if self.kind != "user":
            return self
        chosen = tuple(team for team in self.teams if team.id == team_id)
        if not chosen:
            raise NotAuthorized
        return replace(self, teams=chosen)
