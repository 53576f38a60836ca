# SPDX-License-Identifier: Apache-2.0
"""Who may see and create teams."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.sql import Condition, all_of
from dci_server.foundation.errors import NotAuthorized

NOT_ARCHIVED = Condition("teams.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """One's own; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    return all_of(NOT_ARCHIVED, Condition("teams.id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)}))


def require_can_create(caller: Identity) -> None:
    if not caller.is_epm:
        raise NotAuthorized
