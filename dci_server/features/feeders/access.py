# SPDX-License-Identifier: Apache-2.0
"""Who may see and change feeders: unlike with remotecis, the read-only role sees those of its own teams only."""

from uuid import UUID

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS, MEMBERS, SEES_OWN, WORKERS_OF_TEAM
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of
from dci_server.foundation.events.actor import by

LIST = SEES_OWN
READ = MEMBERS
CREATE = EPMS
CHANGE = WORKERS_OF_TEAM

NOT_ARCHIVED = Condition("feeders.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Those of the caller's teams; EPM and super admins see all."""
    if caller.is_epm:
        return NOT_ARCHIVED
    own = Condition("feeders.team_id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)})
    return all_of(NOT_ARCHIVED, own)


def changeable_by(caller: Identity, *, new_team_id: UUID | None = None) -> Condition:
    """In team of the feeder, or EPM. Who gives it to another team must be in both (decision 8)."""
    if caller.is_epm:
        return by(caller, EVERYTHING)
    own = [team_id for team_id in caller.team_ids if caller.works_for(team_id)]
    in_both = Condition(
        "feeders.team_id = any(%(own_team_ids)s::uuid[])"
        " and coalesce(%(new_team_id)s::uuid, feeders.team_id) = any(%(own_team_ids)s::uuid[])",
        {"own_team_ids": own, "new_team_id": new_team_id},
    )
    return by(caller, in_both)
