# SPDX-License-Identifier: Apache-2.0
"""How long to wait before something is tried again."""

import random

_FIRST_SECONDS = 10.0
_FACTOR = 3.0
_LONGEST_SECONDS = 2 * 3600.0
_JITTER = 0.2


def seconds_before_attempt(number: int) -> float:
    """10 s before the second, three times longer each time, at most two hours; a fifth more or less, so that what failed
    together does not come back together."""
    wait = min(_FIRST_SECONDS * _FACTOR ** min(number - 2, 20), _LONGEST_SECONDS)
    return wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 # nobody gains by guessing it
