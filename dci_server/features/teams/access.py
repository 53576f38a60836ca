# SPDX-License-Identifier: Apache-2.0
"""Who may see and change teams.

The teams that carry a role are their own case: whoever changes them, or who is in them, says what others may do.
"""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS, MEMBERS, READERS_OF_TEAM, SEES_OWN, SUPER_ADMINS, Rule
from dci_server.foundation.database.sql import EVERYTHING, NOTHING, Condition, all_of

LIST = SEES_OWN
READ = READERS_OF_TEAM
READ_PARTS = MEMBERS
CREATE = EPMS
CHANGE = Rule("super admins, EPM; only super admins where the team carries a role", lambda caller, _own: caller.is_epm)
DELETE = SUPER_ADMINS
GRANT = EPMS

NOT_ARCHIVED = Condition("teams.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """One's own; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    return all_of(NOT_ARCHIVED, Condition("teams.id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)}))


def changeable_by(caller: Identity) -> Condition:
    """Of those who pass CHANGE (decision 11)."""
    return EVERYTHING if caller.is_super_admin else Condition("teams.role is null")


def deletable_by(caller: Identity) -> Condition:
    return EVERYTHING if caller.is_super_admin else NOTHING
