# SPDX-License-Identifier: Apache-2.0
"""Turns at what takes memory and time: who wants little does not wait for who wants much."""

import asyncio
import sys
from collections.abc import Sequence

_LANES_OF_REPORTS = ((2_000, 2), (20_000, 2), (sys.maxsize, 1))
"""By cases. Each turn is a batch of rows in memory and a connection of the pool."""


class Turns:
    """Lanes by size: each has so many turns at once, for what is at most so large. The last one takes everything."""

    def __init__(self, lanes: Sequence[tuple[int, int]]) -> None:
        self._lanes = [(largest, asyncio.Semaphore(turns)) for largest, turns in lanes]

    def of(self, size: int) -> asyncio.Semaphore:
        """To be held for as long as it takes."""
        return next((turns for largest, turns in self._lanes if size <= largest), self._lanes[-1][1])


def turns_of_reports() -> Turns:
    return Turns(_LANES_OF_REPORTS)
