# SPDX-License-Identifier: Apache-2.0
"""Ids of rows that become many: UUIDs of version 7, which begin with the time, as `new_id()` of the database makes them."""

import secrets
import time
from uuid import UUID

_VERSION = 7 << 76
_VARIANT = 2 << 62
_NANOSECONDS = 1_000_000
_FRACTIONS = 1 << 12


def new_id() -> UUID:
    """Rows that are made together come to lie beside each other in every index."""
    return id_of_moment(time.time_ns())


def id_of_moment(nanoseconds: int) -> UUID:
    """Since 1970. Moments that are more than a quarter of a microsecond apart are told apart; the rest is random."""
    milliseconds, rest = divmod(nanoseconds, _NANOSECONDS)
    fraction = rest * _FRACTIONS // _NANOSECONDS
    return UUID(int=milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | secrets.randbits(62))
