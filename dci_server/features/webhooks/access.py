# SPDX-License-Identifier: Apache-2.0
"""Who may see and change webhooks. Their addresses may hold secrets of others, so nobody else reads them either."""

from uuid import UUID

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import SEES_OWN, Rule
from dci_server.foundation.database.sql import EVERYTHING, NOTHING, Condition
from dci_server.foundation.errors import NotAuthorized

LIST = SEES_OWN
MANAGE = Rule(
    "a team's: users who are members of it, not by membership of Red Hat, EPM; the whole hub's: nobody else than "
    "super admins, who may all",
    lambda caller, own: caller.kind == "user" and (caller.is_super_admin or own),
    writes=True,
)


def require_manager(caller: Identity, team_id: UUID | None) -> None:
    """Whoever manages the webhooks of this team, or with None of the whole hub."""
    if not MANAGE.allows(caller, team_id is not None and caller.works_for(team_id)):
        raise NotAuthorized


def managed_by(caller: Identity) -> Condition:
    if caller.is_super_admin:
        return EVERYTHING
    if caller.kind != "user":
        return NOTHING
    if caller.is_epm:
        return Condition("webhooks.team_id is not null")
    own = [team_id for team_id in caller.team_ids if caller.works_for(team_id)]
    return Condition("webhooks.team_id = any(%(own_team_ids)s::uuid[])", {"own_team_ids": own})
