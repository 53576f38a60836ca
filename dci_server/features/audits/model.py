# SPDX-License-Identifier: Apache-2.0
"""The shapes of an audit."""

from typing import Literal

import msgspec
from msgspec import Struct

from dci_server.foundation.shapes import Count


class Audit(Struct, frozen=True, kw_only=True):
    """`user_id` is of a user, a remoteci or a feeder, null for a caller whom nobody knows and for the server itself.

    `claimed_id` is of whom such a caller said to be, with a wrong password or signature. `subject_id` is of what was created,
    otherwise the first id in the path. A `status` of 499 is of a caller who went away before the answer.
    What follows `action` is null in audits of other times and other servers.
    """

    id: str
    created_at: str
    user_id: str | None
    action: str
    kind: Literal["user", "remoteci", "feeder", "server"] | None
    method: str | None
    path: str | None
    status: int | None
    address: str | None
    subject_id: str | None
    claimed_id: str | None


class AuditsAnswer(Struct):
    audits: list[Audit]
    meta: Count = msgspec.field(name="_meta")
