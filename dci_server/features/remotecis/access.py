# SPDX-License-Identifier: Apache-2.0
"""Who may see and change remotecis."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import MEMBERS, READERS_OF_TEAM, SEES_OWN, WORKERS_OF_TEAM
from dci_server.foundation.database.sql import Condition, all_of

LIST = SEES_OWN
LIST_OF_TEAM = MEMBERS
READ = READERS_OF_TEAM
CREATE = WORKERS_OF_TEAM

NOT_ARCHIVED = Condition("remotecis.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Those of the caller's teams; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    own = Condition("remotecis.team_id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)})
    return all_of(NOT_ARCHIVED, own)
