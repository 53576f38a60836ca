# SPDX-License-Identifier: Apache-2.0
"""Who did it, told to the triggers that write events within the statement that does it: no round trip of its own."""

from typing import LiteralString
from uuid import UUID

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.sql import Condition, all_of

BY_ACTOR: LiteralString = "set_config('dci.actor', %(actor_id)s::text, true) is not null"
"""What a statement writes where this stands is the doing of `actor_id`, and its events say so."""


def by(caller: Identity, allowed: Condition) -> Condition:
    """The same condition. What is written where it holds is the caller's doing, and its events say so."""
    return all_of(allowed, doing_of(caller.id))


def doing_of(actor_id: UUID) -> Condition:
    """For what is finished later, by whichever process."""
    return Condition(BY_ACTOR, {"actor_id": str(actor_id)})
