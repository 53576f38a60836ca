# SPDX-License-Identifier: Apache-2.0
"""Who may make a call, said once: the code asks the rule, the documentation prints it, the matrix test proves it."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.errors import NotAuthorized


@dataclass(frozen=True, slots=True)
class Rule:
    """`allows(caller, own)`: `own` says whether what is called upon is the caller's, in the sense of `words`."""

    words: str
    allows: Callable[[Identity, bool], bool]
    hides: bool = False
    """Whether those who are refused are told 404, as if nothing were there, instead of 401."""
    writes: bool = False
    """Membership of Red Hat is for reading (decision 9): it makes nothing one's own where something is written."""

    def require(self, caller: Identity, *, own: bool = False) -> None:
        if not self.allows(caller, own):
            raise NotAuthorized

    def require_for_team(self, caller: Identity, team_id: UUID | None) -> None:
        """What is called upon belongs to this team, or with None to no team."""
        self.require(caller, own=caller.works_for(team_id) if self.writes else caller.belongs_to(team_id))


NOBODY_NEEDED = Rule("anybody, without an identity", lambda _caller, _own: True)
EVERYBODY = Rule("every caller", lambda _caller, _own: True)
SEES_OWN = Rule("every caller; each sees what is theirs", lambda _caller, _own: True)
SUPER_ADMINS = Rule("super admins", lambda caller, _own: caller.is_super_admin)
EPMS = Rule("super admins, EPM", lambda caller, _own: caller.is_epm)
EPMS_AND_FEEDERS = Rule(
    "super admins, EPM, feeders; not those of Red Hat",
    lambda caller, _own: caller.is_epm or (caller.kind == "feeder" and not caller.is_read_only),
)
READERS_OF_TEAM = Rule(
    "members of its team, read-only, EPM, super admins", lambda caller, own: caller.reads_everything or own
)
MEMBERS = Rule("members of its team, EPM, super admins", lambda caller, own: caller.is_epm or own)
WORKERS_OF_TEAM = Rule(
    "members of its team, EPM, super admins; not by membership of Red Hat",
    lambda caller, own: caller.is_epm or own,
    writes=True,
)
