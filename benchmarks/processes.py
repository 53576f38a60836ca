# SPDX-License-Identifier: Apache-2.0
"""What the processes of a server and of its PostgreSQL have used, as the system counts it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import psutil

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class CpuSeconds:
    """Used so far; None for processes that are not known."""

    server: float | None
    postgres: float | None
    store: float | None = None


@dataclass
class Peak:
    """The most memory the server's processes were seen to have together."""

    resident_bytes: int | None = None


class Processes:
    """The server's tree without PostgreSQL, and PostgreSQL: below the server, or where `postgres_pid` says. And the store's."""

    def __init__(self, server_pid: int | None, postgres_pid: int | None, store_pid: int | None = None) -> None:
        self._server_pid = server_pid
        self._postgres_pid = postgres_pid
        self._store_pid = store_pid

    def cpu_seconds(self) -> CpuSeconds:
        server, postgres = self._trees()
        return CpuSeconds(_cpu_of(server), _cpu_of(postgres), _cpu_of(_tree(self._store_pid)))

    def resident_bytes(self) -> int | None:
        return _resident_bytes_of(self._trees()[0])

    @contextlib.asynccontextmanager
    async def peak(self) -> AsyncGenerator[Peak]:
        """Sampled for as long as the block runs, of the processes that were there when it began."""
        peak = Peak()
        server, _ = self._trees()
        task = asyncio.create_task(_sample(server, peak))
        try:
            yield peak
        finally:
            task.cancel()
            _look(server, peak)

    def _trees(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        below = _tree(self._server_pid)
        server = [process for process in below if not _is_postgres(process)]
        if self._postgres_pid is not None:
            return server, _tree(self._postgres_pid)
        return server, [process for process in below if _is_postgres(process)]


def _tree(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _is_postgres(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name().startswith("postgres")
    return False


def _cpu_of(processes: list[psutil.Process]) -> float | None:
    """Children that have ended are counted by their parent."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total if processes else None


def _resident_bytes_of(processes: list[psutil.Process]) -> int | None:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total or None


async def _sample(processes: list[psutil.Process], peak: Peak) -> None:
    while True:
        _look(processes, peak)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _look(processes: list[psutil.Process], peak: Peak) -> None:
    seen = _resident_bytes_of(processes)
    if seen is not None:
        peak.resident_bytes = max(seen, peak.resident_bytes or 0)
