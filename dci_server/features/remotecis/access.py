# SPDX-License-Identifier: Apache-2.0
"""Who may see and change remotecis."""

from uuid import UUID

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import MEMBERS, READERS_OF_TEAM, SEES_OWN, WORKERS_OF_TEAM, Rule
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of
from dci_server.foundation.events.actor import by

LIST = SEES_OWN
LIST_OF_TEAM = MEMBERS
READ = READERS_OF_TEAM
CREATE = WORKERS_OF_TEAM
CHANGE = WORKERS_OF_TEAM
READ_SECRETS = MEMBERS
READ_SUBSCRIBERS = MEMBERS
# Subscriptions of one's own are what the read-only role may write (decision 9).
SUBSCRIBE = Rule(
    "users who are members of its team, EPM, super admins; remotecis and feeders, being no users, are told 404",
    lambda caller, own: caller.kind == "user" and MEMBERS.allows(caller, own),
)
UNSUBSCRIBE = Rule(
    "members of its team, EPM, super admins; by membership of Red Hat only oneself",
    lambda caller, own: caller.is_epm or own,
    writes=True,
)

NOT_ARCHIVED = Condition("remotecis.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Those of the caller's teams; privileged readers see all."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    own = Condition("remotecis.team_id = any(%(team_ids)s::uuid[])", {"team_ids": list(caller.team_ids)})
    return all_of(NOT_ARCHIVED, own)


def changeable_by(caller: Identity, *, new_team_id: UUID | None = None) -> Condition:
    """In team of the remoteci, or EPM. Who gives it to another team must be in both (decision 8)."""
    if caller.is_epm:
        return by(caller, EVERYTHING)
    own = [team_id for team_id in caller.team_ids if caller.works_for(team_id)]
    in_both = Condition(
        "remotecis.team_id = any(%(own_team_ids)s::uuid[])"
        " and coalesce(%(new_team_id)s::uuid, remotecis.team_id) = any(%(own_team_ids)s::uuid[])",
        {"own_team_ids": own, "new_team_id": new_team_id},
    )
    return by(caller, in_both)


def with_subscription_of(caller: Identity, user_id: UUID) -> Condition:
    """Whose subscriptions the caller may change."""
    if caller.is_epm:
        return EVERYTHING
    own = [team_id for team_id in caller.team_ids if caller.works_for(team_id) or user_id == caller.id]
    return Condition("remotecis.team_id = any(%(own_team_ids)s::uuid[])", {"own_team_ids": own})
