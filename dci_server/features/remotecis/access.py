# SPDX-License-Identifier: Apache-2.0
"""Who may see and create remotecis."""

from uuid import UUID

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.sql import Condition, all_of
from dci_server.foundation.errors import NotAuthorized

NOT_ARCHIVED = Condition("remotecis.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Those of the caller's teams; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    own = Condition("remotecis.team_id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)})
    return all_of(NOT_ARCHIVED, own)


def require_can_create(caller: Identity, team_id: UUID) -> None:
    if not caller.works_for(team_id):
        raise NotAuthorized
