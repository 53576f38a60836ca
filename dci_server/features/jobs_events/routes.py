# SPDX-License-Identifier: Apache-2.0
"""The URLs of jobs events."""

from dci_server.features.jobs_events import queries
from dci_server.features.jobs_events.model import ChangedSequence, JobsEventsAnswer, SequenceAnswer
from dci_server.foundation.auth.rules import SUPER_ADMINS
from dci_server.foundation.errors import ApiError, Conflict
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, answer, delete, get, page

_LARGEST = 2**63 - 1


async def list_jobs_events(call: Call) -> Response:
    """The jobs that ended, from an id on; the newest first, `sort=id` for the order in which they ended."""
    SUPER_ADMINS.require(call.caller)
    listing = call.listing(queries.COLUMNS)
    await call.services.events.number_all()
    return page(await queries.list_jobs_events(call.db, _first_id(call), listing))


async def delete_jobs_events(call: Call) -> Response:
    """Takes those from an id on out of this list; `GET /events` keeps them."""
    SUPER_ADMINS.require(call.caller)
    await call.services.events.number_all()
    await queries.remove_jobs_events(call.db, _first_id(call))
    return NO_CONTENT


async def get_sequence(call: Call) -> Response:
    """A number that the readers of this list share: how far they are."""
    SUPER_ADMINS.require(call.caller)
    return answer("sequence", await queries.find_sequence(call.db))


async def change_sequence(call: Call) -> Response:
    """Sets it, unless another reader did meanwhile."""
    SUPER_ADMINS.require(call.caller)
    etag = call.etag()
    sequence = call.body(ChangedSequence).sequence
    if not -_LARGEST <= sequence <= _LARGEST:
        raise ApiError("sequence is an integer of at most 64 bits")
    if not await queries.update_sequence(call.db, sequence, etag):
        raise Conflict('conflict on jobs_events "sequence" or etag not matched')
    return NO_CONTENT


def _first_id(call: Call) -> int:
    return call.path_parameters["first_id"]


_SEQUENCE = "/jobs_events/sequence"

routes = [
    get("/jobs_events/{first_id:number}", list_jobs_events, JobsEventsAnswer, who=SUPER_ADMINS, listing=queries.COLUMNS),
    delete("/jobs_events/{first_id:number}", delete_jobs_events, who=SUPER_ADMINS, needs_etag=False),
    get(_SEQUENCE, get_sequence, SequenceAnswer, who=SUPER_ADMINS),
    Route(
        "PUT", _SEQUENCE, change_sequence, SUPER_ADMINS, body=ChangedSequence, answers={204: None}, needs_etag=True
    ),
]  # fmt: skip
