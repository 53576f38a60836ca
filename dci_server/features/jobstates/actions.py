# SPDX-License-Identifier: Apache-2.0
"""What happens when a job reports a state."""

from dci_server.features.jobs.access import changeable_by
from dci_server.features.jobs.queries import STATUSES
from dci_server.features.jobstates import queries
from dci_server.features.jobstates.model import Jobstate, NewJobstate
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.connection import Connection, Json
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound


async def add_jobstate(db: Connection, caller: Identity, new: NewJobstate) -> Json[Jobstate]:
    facts = await queries.insert_jobstate(db, _checked(new), changeable_by(caller))
    if not facts["is_known"]:
        raise NotFound("job")
    if facts["jobstate"] is None:
        raise NotAuthorized
    return Json(facts["jobstate"])


def _checked(new: NewJobstate) -> NewJobstate:
    if new.status not in STATUSES:
        raise ApiError(
            "We are unable to create this resource. Please contact a DCI administrator. "
            f"The status is not one of {', '.join(STATUSES)}."
        )
    return new
