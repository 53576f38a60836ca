# SPDX-License-Identifier: Apache-2.0
"""Which components somebody may add to a job."""

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.sql import EVERYTHING, Condition


def usable_by(caller: Identity) -> Condition:
    """Global ones, and those of the caller's teams and of teams that opened theirs to them (jobs.md §8)."""
    if caller.is_epm:
        return EVERYTHING
    return Condition(
        "(components.team_id is null or components.team_id = any(%(team_ids)s::uuid[])"
        " or exists (select from teams_components_access as granted where granted.access_team_id = components.team_id"
        " and granted.team_id = any(%(team_ids)s::uuid[])))",
        {"team_ids": list(caller.team_ids)},
    )
