# SPDX-License-Identifier: Apache-2.0
"""What a server process takes of its machine: as many connections as it is allowed, few pools of memory, short pauses."""

import ctypes
import gc
import resource
import sys

_OPEN_FILES = 65_536
_M_ARENA_MAX = -8
_ARENAS = 2


def raise_open_files() -> None:
    """A thousand followers are a thousand open files, and 1,024 is all that most systems allow unless they are asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_few_arenas() -> None:
    """By default each of a dozen threads gets an arena of its own, where pieces of files pass through and leave holes.

    One thread at a time runs Python, so more arenas make nothing faster.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def look_for_garbage_among_what_is_new() -> None:
    """What is there by now, modules and routes, stays until the end, and is most of what there is.

    Going through all of it took a tenth of a second, again and again, in which nobody was answered (decision 0039).
    """
    gc.freeze()
