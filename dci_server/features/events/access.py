# SPDX-License-Identifier: Apache-2.0
"""Who may see an event: who may see what it is about."""

from dci_server.features.topics.access import usable_by
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import Rule
from dci_server.foundation.database.sql import EVERYTHING, Condition

LIST = Rule(
    "every caller; each sees those of their teams, and those of no team on topics they may use; "
    "read-only, EPM, super admins: all",
    lambda _caller, _own: True,
)


def visible_to(caller: Identity) -> Condition:
    """A team's to its members; those of no team (topics, global components) to those who may use the topic."""
    if caller.reads_everything:
        return EVERYTHING
    topic = usable_by(caller)
    return Condition(
        "(events.team_id = any(%(team_ids)s::uuid[]) or (events.team_id is null and exists"
        " (select from topics where topics.id = events.topic_id and " + topic.sql + ")))",
        {"team_ids": list(caller.team_ids), **topic.params},
    )
