# SPDX-License-Identifier: Apache-2.0
"""The URLs of secrets, alike for remotecis and feeders: a new one, which there are, the end of one."""

from collections.abc import Callable
from typing import Any, LiteralString

import msgspec

from dci_server.foundation.auth.client_secrets import (
    LONGEST_LIFE,
    LONGEST_OVERLAP,
    SHOWN,
    NewSecret,
    Owners,
    end_secret,
    list_secrets,
    rotation,
)
from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.auth.rules import Rule
from dci_server.foundation.database.changes import Assignments, change_row
from dci_server.foundation.database.connection import Json
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.errors import NotAuthorized, NotFound
from dci_server.foundation.http import NO_CONTENT, Call, Response, Route, answer, delete, get, page, put
from dci_server.foundation.parameters import WholeNumber, require_known
from dci_server.foundation.shapes import Count

OVERLAP = WholeNumber(
    "overlap",
    "For how many seconds the old secrets stay valid beside the new one; without it they end at once.",
    0,
    LONGEST_OVERLAP,
)
EXPIRES_IN = WholeNumber(
    "expires_in", "After how many seconds the new secret ends; without it, never.", 1, LONGEST_LIFE
)
OF_A_ROTATION = (OVERLAP, EXPIRES_IN)


class SecretOfClient(msgspec.Struct, frozen=True, kw_only=True):
    """What may be known of a secret: everything but the secret. `last_used_at` is a few minutes coarse."""

    id: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class SecretsAnswer(msgspec.Struct):
    secrets: list[SecretOfClient]
    meta: Count = msgspec.field(name="_meta")


def secret_routes(
    owners: Owners,
    columns: LiteralString,
    answer_with_secret: type[Any],
    *,
    read: Rule,
    change: Rule,
    changeable_by: Callable[[Identity], Condition],
) -> list[Route]:
    """`PUT /<plural>/<id>/api_secret`, `GET` and `DELETE` below `/<plural>/<id>/secrets`."""

    async def replace_secret(call: Call) -> Response:
        """A new secret, shown in this answer and nowhere else; the body is ignored."""
        etag, owner_id = call.etag(), call.id(owners.key)
        # Elsewhere other names are ignored; here a slip in `overlap` would end the secrets that laboratories use.
        require_known(call.parameters, OF_A_ROTATION)
        overlap = OVERLAP.read_number(call.parameters) or 0
        expires_in = EXPIRES_IN.read_number(call.parameters)
        secret = NewSecret.for_owner(call.services.secrets, owner_id)
        changed = await change_row(
            call.db,
            owners.table,
            columns + SHOWN,
            owner_id,
            etag,
            Assignments([], {}),
            allowed=changeable_by(call.caller),
            effects=rotation(owners),
            params={"overlap": overlap, "expires_in": expires_in, **secret.params},
        )
        shown = changed.require(owners.singular)
        call.services.authenticator.forget()
        return answer(owners.singular, shown, etag=True)

    async def get_secrets(call: Call) -> Response:
        """When each secret was made, until when it is valid, when it was last used; never the secret."""
        found = await list_secrets(call.db, owners, call.id(owners.key))
        if found is None:
            raise NotFound(owners.singular)
        read.require_for_team(call.caller, found["team_id"])
        return page(Json[Any](found["secrets"]))

    async def delete_secret(call: Call) -> Response:
        """Ends one secret at once. After the last one nobody signs in as this client until it is given a new one."""
        facts = await end_secret(call.db, owners, call.id(owners.key), call.id("secret_id"), changeable_by(call.caller))
        if not facts["is_known"]:
            raise NotFound(owners.singular)
        if not facts["is_allowed"]:
            raise NotAuthorized
        if not facts["was_there"]:
            raise NotFound("secret")
        call.services.authenticator.forget()
        return NO_CONTENT

    one: LiteralString = "/" + owners.table + "/{" + owners.key + ":uuid}"
    return [
        put(one + "/api_secret", replace_secret, None, answer_with_secret, who=change, query=OF_A_ROTATION),
        get(one + "/secrets", get_secrets, SecretsAnswer, who=read),
        delete(one + "/secrets/{secret_id:uuid}", delete_secret, who=change, needs_etag=False),
    ]
