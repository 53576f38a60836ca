# SPDX-License-Identifier: Apache-2.0
"""The shapes of an audit."""

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from dci_server.foundation.shapes import Count

Action: TypeAlias = Literal["create_teams", "create_product", "update_job_by_id", "delete_job_by_id"]
"""What is written down (resources.md §10): the attempt, whether or not it succeeds."""


class Audit(Struct, frozen=True, kw_only=True):
    """`user_id` is of a user, a remoteci or a feeder."""

    id: str
    created_at: str
    user_id: str
    action: Action


class AuditsAnswer(Struct):
    audits: list[Audit]
    meta: Count = msgspec.field(name="_meta")
