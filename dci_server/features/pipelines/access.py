# SPDX-License-Identifier: Apache-2.0
"""Who may see and change pipelines."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import READERS_OF_TEAM, SEES_OWN, WORKERS_OF_TEAM
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of

LIST = SEES_OWN
READ = READERS_OF_TEAM
CREATE = WORKERS_OF_TEAM
CHANGE = WORKERS_OF_TEAM

NOT_ARCHIVED = Condition("pipelines.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Those of the caller's teams; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    own = Condition("pipelines.team_id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)})
    return all_of(NOT_ARCHIVED, own)


def changeable_by(caller: Identity) -> Condition:
    if caller.is_epm:
        return EVERYTHING
    working = [team_id for team_id in caller.team_ids if caller.works_for(team_id)]
    return Condition("pipelines.team_id = any(%(working_team_ids)s::uuid[])", {"working_team_ids": working})
