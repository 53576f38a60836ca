# SPDX-License-Identifier: Apache-2.0
"""Which events are asked for: the query parameters, as values and as a condition on rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from dci_server.features.events.model import TYPES
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of
from dci_server.foundation.parameters import Given, Identifier, Parameter, WholeNumber, Words

MOST_EVENTS = 1_000
_USUAL_EVENTS = 100

TYPE = Words("type", "Only events of these types, separated by commas.", TYPES)
_IDS: Mapping[str, Identifier] = {
    "team_id": Identifier("team_id", "Only events of this team."),
    "topic_id": Identifier("topic_id", "Only events on this topic."),
    "remoteci_id": Identifier("remoteci_id", "Only events of this remoteci and its jobs."),
    "job_id": Identifier("job_id", "Only events of this job."),
}
FILTERS: tuple[Parameter, ...] = (TYPE, *_IDS.values())
AFTER = WholeNumber("after", "Only events with a greater id; `_meta.after` of the page before.", 0, 10**18 - 1)
LIMIT = WholeNumber("limit", "At most this many events [100].", 1, MOST_EVENTS)
OF_A_PAGE: tuple[Parameter, ...] = (AFTER, LIMIT, *FILTERS)

_CONDITIONS: Mapping[str, LiteralString] = {
    "team_id": "events.team_id = %(of_team_id)s::uuid",
    "topic_id": "events.topic_id = %(of_topic_id)s::uuid",
    "remoteci_id": "events.remoteci_id = %(of_remoteci_id)s::uuid",
    "job_id": "events.job_id = %(of_job_id)s::uuid",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What an event must be; None for anything."""

    types: frozenset[str] | None
    ids: Mapping[str, UUID]

    @property
    def condition(self) -> Condition:
        of_types = EVERYTHING
        if self.types is not None:
            of_types = Condition("events.type = any(%(of_types)s::text[])", {"of_types": sorted(self.types)})
        of_ids = [Condition(_CONDITIONS[name], {f"of_{name}": value}) for name, value in self.ids.items()]
        return all_of(of_types, *of_ids)


def read_filters(given: Given) -> Filters:
    """Raises ApiError for a filter that nothing can meet."""
    ids = {name: value for name, each in _IDS.items() if (value := each.read_id(given)) is not None}
    return Filters(TYPE.read_words(given), ids)


def read_limit(given: Given) -> int:
    return LIMIT.read_number(given) or _USUAL_EVENTS
