# SPDX-License-Identifier: Apache-2.0
"""Who may see and change a job."""

from uuid import UUID

from dci_server.features.jobs import queries
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import READERS_OF_TEAM, SEES_OWN, WORKERS_OF_TEAM, Rule
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.database.sql import EVERYTHING, Condition, all_of, is_one_of
from dci_server.foundation.errors import NotFound
from dci_server.foundation.events.actor import by

LIST = SEES_OWN
READ = Rule(
    "members of its team, read-only, EPM, super admins",
    lambda caller, own: caller.reads_everything or own,
    hides=True,
)
READ_PARTS = READERS_OF_TEAM
CREATE = Rule(
    "remotecis, on a topic, with components and after jobs that are open to their team; not those of Red Hat; "
    "users and feeders are told 400",
    lambda caller, own: caller.kind == "remoteci" and own,
    writes=True,
)
CHANGE = WORKERS_OF_TEAM

NOT_ARCHIVED = Condition("jobs.state <> 'archived'")


def visible_to(caller: Identity) -> Condition:
    """Jobs of the caller's teams; privileged readers see all (jobs.md §7.1)."""
    if caller.reads_everything:
        return NOT_ARCHIVED
    return all_of(NOT_ARCHIVED, is_one_of("jobs.team_id", "team_ids", caller.team_ids))


def changeable_by(caller: Identity) -> Condition:
    """In team of the job, or EPM; the read-only role writes nothing (decisions 2 and 9)."""
    if caller.is_epm:
        return by(caller, EVERYTHING)
    own = [team_id for team_id in caller.team_ids if caller.works_for(team_id)]
    return by(caller, Condition("jobs.team_id = any(%(own_team_ids)s::uuid[])", {"own_team_ids": own}))


async def require_can_read(db: Connection, caller: Identity, job_id: UUID) -> UUID:
    """What hangs on a job: 404 when it is absent, 401 for those who may not see it (jobs.md §9.4). Its team."""
    team_id = await queries.find_team_of_job(db, job_id)
    if team_id is None:
        raise NotFound("job")
    READ_PARTS.require_for_team(caller, team_id)
    return team_id
