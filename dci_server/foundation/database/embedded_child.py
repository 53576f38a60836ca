# SPDX-License-Identifier: Apache-2.0
"""Run as a program: takes on the account, promises to die with its owner, then becomes the command it is given.

A program of its own, not a `preexec_fn`, because a forked copy of a process with threads may deadlock.
It is read by a bare interpreter before the privileges are dropped, so it imports nothing of ours.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from typing import TypedDict

PR_SET_PDEATHSIG = 1
PATIENCE_FOR_A_LINE = 200


class Oath(TypedDict):
    """What the child does before it becomes the command; the first argument, as JSON."""

    owner: int
    account: tuple[int, int] | None
    death_signal: int
    has_death_signal: bool
    lifeline: int | None
    clusters: list[str]


def take_account(uid: int, gid: int) -> None:
    """For good: no group, no saved id is left to come back with."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def die_with_owner(owner: int, death_signal: int) -> None:
    """Linux only. A change of account clears the promise, so this comes after it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != owner:
        # It died before the promise was made; nobody would send the signal any more.
        os._exit(1)


def watch_owner(lifeline: int, death_signal: int, clusters: list[str]) -> None:
    """A process that reads the owner's pipe. A byte tells it to stand down, the end of the pipe that the owner died."""
    guarded = os.getpid()
    if os.fork() != 0:
        os.wait()
        return
    if os.fork() == 0:
        # A grandchild, left to init: the postmaster does not expect children that it has not started.
        os.setsid()
        if not os.read(lifeline, 1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(guarded, death_signal)
            end_servers(clusters)
    os._exit(0)


def end_servers(clusters: list[str]) -> None:
    """Those of pg_upgrade, which are not its children. Only once: a moment later a new owner's server may be there."""
    for cluster in clusters:
        with contextlib.suppress(OSError, ValueError):
            os.kill(server_of(cluster), signal.SIGQUIT)


def server_of(cluster: str) -> int:
    """Its process. The file is there a moment before it says which: whoever is just beginning is waited for."""
    line = ""
    for _ in range(PATIENCE_FOR_A_LINE):
        with open(f"{cluster}/postmaster.pid") as lines:  # noqa: PTH123
            line = lines.readline()
        if line.endswith("\n"):
            break
        time.sleep(0.01)
    return int(line)


def main(oath: Oath, command: list[str]) -> None:
    # Python would only take a note of the first, and a shell's `&` has us ignore both; then a death would go unnoticed.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if oath["account"] is not None:
        take_account(*oath["account"])
    if oath["lifeline"] is not None:
        watch_owner(oath["lifeline"], oath["death_signal"], oath["clusters"])
        os.close(oath["lifeline"])
    if oath["has_death_signal"]:
        die_with_owner(oath["owner"], oath["death_signal"])
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
