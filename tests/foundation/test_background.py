# SPDX-License-Identifier: Apache-2.0
"""Work beside the requests: how often it is done."""

import asyncio

from dci_server.foundation.background import Repeating


async def test_what_comes_while_work_rests_is_done_together_later() -> None:
    looks = 0
    looked = asyncio.Event()

    async def look() -> bool:
        nonlocal looks
        looks += 1
        looked.set()
        return False

    resting = Repeating("resting", look, idle=0, rest=3600)
    resting.start()
    await looked.wait()

    for _ in range(50):
        resting.wake()
        await asyncio.sleep(0)

    await resting.stop()
    assert looks == 1


async def test_work_that_is_not_done_yet_does_not_rest() -> None:
    looks = 0
    is_done = asyncio.Event()

    async def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            is_done.set()
        return looks < 3

    working = Repeating("working", look, idle=3600, rest=3600)
    working.start()

    await is_done.wait()
    await working.stop()

    assert looks == 3
