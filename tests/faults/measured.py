# SPDX-License-Identifier: Apache-2.0
"""What a server costs, as the kernel counts it: memory of its process, processor time of it and its database."""

import re
from pathlib import Path

import pytest

from tests.server_process import Running, told_by

MIB = 1024 * 1024
MOST_GROWTH = 64 * MIB
"""Promise P3."""


class Memory:
    """Of the server's process; the highest since it was last asked."""

    def __init__(self, server: Running) -> None:
        self._process = Path(f"/proc/{server.process.pid}")
        try:
            self.forget_the_highest()
        except OSError:
            pytest.skip("the kernel does not let the highest memory be reset here")

    def now(self) -> int:
        return self._read("VmRSS")

    def highest(self) -> int:
        return self._read("VmHWM")

    def forget_the_highest(self) -> None:
        (self._process / "clear_refs").write_text("5")

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", (self._process / "status").read_text())
        assert found is not None
        return int(found[1]) * 1024


def growth(memory: Memory, before: int) -> str:
    """Nothing to say when it stayed below what is promised."""
    grown = memory.highest() - before
    return "" if grown < MOST_GROWTH else f"grew by {grown // MIB} MiB"


def processor_seconds(server: Running) -> float:
    """Of the server and its PostgreSQL, those of their processes that ended included; other load does not count."""
    return sum(sum(times[:4]) for _, times in told_by(server.processes(), lambda process: process.cpu_times()))
