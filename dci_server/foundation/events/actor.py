# SPDX-License-Identifier: Apache-2.0
"""Who did it, told to the triggers that write events within the statement that does it: no round trip of its own."""

from typing import LiteralString

from dci_server.foundation.auth.identity import Identity
from dci_server.foundation.database.sql import Condition, all_of

BY_ACTOR: LiteralString = "set_config('dci.actor', %(actor_id)s::text, true) is not null"
"""What a statement writes where this stands is the doing of `actor_id`, and its events say so."""


def by(caller: Identity, allowed: Condition) -> Condition:
    """The same condition. What is written where it holds is the caller's doing, and its events say so."""
    told = Condition(BY_ACTOR, {"actor_id": str(caller.id)})
    return all_of(allowed, told)
