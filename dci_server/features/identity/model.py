# SPDX-License-Identifier: Apache-2.0
"""The shapes of an identity."""

from typing import Any

from msgspec import Struct


class Identity(Struct, frozen=True):
    """Null except `id` and `teams` for remotecis and feeders; teams by id (resources.md §1)."""

    id: str
    etag: str | None
    name: str | None
    fullname: str | None
    email: str | None
    timezone: str | None
    teams: dict[str, dict[str, Any]]


class IdentityAnswer(Struct):
    identity: Identity
