# SPDX-License-Identifier: Apache-2.0
"""Who may see and change teams."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS, READERS_OF_TEAM, SEES_OWN
from dci_server.foundation.database.sql import Condition, all_of

LIST = SEES_OWN
READ = READERS_OF_TEAM
CREATE = EPMS

NOT_ARCHIVED = Condition("teams.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """One's own; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    return all_of(NOT_ARCHIVED, Condition("teams.id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)}))
