# SPDX-License-Identifier: Apache-2.0
"""Who may see and change components (permissions.md §2.3, §2.4)."""

from uuid import UUID

from dci_server.features.topics import access as topics
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import EPMS_AND_FEEDERS, SEES_OWN, WORKERS_OF_TEAM, Rule
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of

LIST = SEES_OWN
LIST_OF_TOPIC = topics.USE
READ = Rule(
    "global ones: callers who may use the topic; a team's: its members and teams granted access; "
    "read-only, EPM, super admins",
    lambda caller, own: caller.reads_everything or own,
)
CREATE = Rule(
    "global ones: feeders; a team's: its members; EPM, super admins; neither by membership of Red Hat",
    lambda caller, own: caller.is_epm or own,
    writes=True,
)
CHANGE = Rule(
    CREATE.words + "; the tags of a global one, and nothing else: whoever may use its topic",
    CREATE.allows,
    writes=True,
)
DELETE = CREATE

NOT_ARCHIVED = Condition("components.state <> 'archived'")


def of_teams(caller: Identity) -> Condition:
    """Global ones, one's own team's, and those of teams that opened theirs to it."""
    if caller.is_epm or caller.kind == "feeder":
        return EVERYTHING
    return _shared_with(caller)


def _shared_with(caller: Identity) -> Condition:
    return Condition(
        "(components.team_id is null or components.team_id = any(%(team_ids)s::uuid[])"
        " or exists (select from teams_components_access as granted where granted.access_team_id = components.team_id"
        " and granted.team_id = any(%(team_ids)s::uuid[])))",
        {"team_ids": list(caller.team_ids)},
    )


def listed_for(caller: Identity) -> Condition:
    """`GET /components`: within the topics that the caller sees in their list (decision 39 for EPM)."""
    if caller.is_epm:
        return NOT_ARCHIVED
    topic = topics.visible_to(caller)
    in_topics = Condition(
        "exists (select from topics where topics.id = components.topic_id and " + topic.sql + ")", topic.params
    )
    return all_of(NOT_ARCHIVED, of_teams(caller), in_topics)


def readable_by(caller: Identity) -> Condition:
    """By id: global ones by the rule of their topic, a team's by membership or grant; privileged readers read all."""
    if caller.reads_everything:
        return EVERYTHING
    topic = topics.usable_by(caller)
    by_topic = Condition(
        "(components.team_id is not null or exists (select from topics where topics.id = components.topic_id and "
        + topic.sql
        + "))",
        topic.params,
    )
    return all_of(by_topic, _shared_with(caller))


def changeable_by(caller: Identity) -> Condition:
    """Not by a grant, which is for reading (decision 4); the read-only role writes nothing (decision 9)."""
    if caller.is_epm:
        return EVERYTHING
    return Condition(
        "(components.team_id = any(%(own_team_ids)s::uuid[]) or (components.team_id is null and %(feeds)s::boolean))",
        {
            "own_team_ids": [team_id for team_id in caller.team_ids if caller.works_for(team_id)],
            "feeds": EPMS_AND_FEEDERS.allows(caller, False),
        },
    )


def taggable_by(caller: Identity) -> Condition:
    """Whose tags the caller may change, when nothing else changes: global ones of topics it may use (decision 5)."""
    topic = topics.workable_for(caller)
    return Condition(
        "(components.team_id is null and exists (select from topics where topics.id = components.topic_id and "
        + topic.sql
        + "))",
        topic.params,
    )


def require_can_create(caller: Identity, team_id: UUID | None) -> None:
    if team_id is None:
        EPMS_AND_FEEDERS.require(caller)
    else:
        WORKERS_OF_TEAM.require_for_team(caller, team_id)
