# SPDX-License-Identifier: Apache-2.0
"""The URLs of key-values."""

from dci_server.features.jobs import access
from dci_server.features.keys_values import queries
from dci_server.features.keys_values.model import KeyToRemove, KeyValueAnswer, NewKeyValue
from dci_server.foundation.database.connection import Json, refusing_duplicates
from dci_server.foundation.errors import ApiError, NotAuthorized, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, answer, delete, post
from dci_server.foundation.names import LONGEST


async def add_key_value(call: Call) -> Response:
    """A number under a key that the job does not have yet; to replace one, remove it first."""
    new = call.body(NewKeyValue)
    if len(new.key) > LONGEST:
        raise ApiError(f"key has more than {LONGEST} characters")
    with refusing_duplicates():
        facts = await queries.insert_key_value(
            call.db, call.id("job_id"), new.key, new.value, access.changeable_by(call.caller)
        )
    if not facts["is_known"]:
        raise NotFound("job")
    if facts["kv"] is None:
        raise NotAuthorized
    return answer("kv", Json(facts["kv"]), status=201)


async def remove_key_value(call: Call) -> Response:
    """Removes a key; 204 too when the job does not have it."""
    key = call.body(KeyToRemove).key
    facts = await queries.delete_key_value(call.db, call.id("job_id"), key, access.changeable_by(call.caller))
    if not facts["is_known"]:
        raise NotFound("job")
    if not facts["is_allowed"]:
        raise NotAuthorized
    return NO_CONTENT


routes = [
    post("/jobs/{job_id:uuid}/kv", add_key_value, NewKeyValue, KeyValueAnswer, who=access.CHANGE),
    delete("/jobs/{job_id:uuid}/kv", remove_key_value, who=access.CHANGE, needs_etag=False, body=KeyToRemove),
]
