# SPDX-License-Identifier: Apache-2.0
"""What events cost who writes them and who hears of them, and how late they come: `python -m benchmarks.events`."""

import argparse
import asyncio
import re
import resource
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import asyncpg
import uvloop

from benchmarks.load import Address, Connection, Laboratory, LoadError, put_load
from benchmarks.processes import Processes
from benchmarks.report import markdown, percentile
from benchmarks.scenarios import jobstate, prepare
from benchmarks.server import OwnServer, own_server
from benchmarks.signing import Login, Signer

_TOPIC = "RHEL-9.6"
_LABORATORIES = 4
_SECONDS_TO_HEAR = 30
_OPENED_AT_ONCE = 50
_FILES_BESIDE = 200
_COMMENT = re.compile(rb'"comment": ?"heard (\d+)"')
# What the statement of a jobstate sets off; the numbering then finds nothing to number.
_TRIGGERS = (("jobstates", "jobstates_tell"), ("jobs", "jobs_tell_changed"), ("jobs", "jobs_tell_finished"))


class Options(argparse.Namespace):
    followers: int
    rounds: int
    seconds: float
    idle_seconds: float
    events: int


class Written(NamedTuple):
    """CPU of one jobstate, in microseconds, and how long it took."""

    server: float
    postgres: float
    p50_ms: float

    @property
    def cpu(self) -> float:
        return self.server + self.postgres


@dataclass
class Writes:
    """The same load in rounds, of which the median counts; the first two in turn, so that what else is done falls on both."""

    without_triggers: list[Written] = field(default_factory=list[Written])
    without_followers: list[Written] = field(default_factory=list[Written])
    with_followers: list[Written] = field(default_factory=list[Written])


class Follower(asyncio.Protocol):
    """An open stream that notes when it hears of which event; nothing else, since a thousand of them share a processor."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard: dict[int, float] = {}
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.began.done() and b": following" in data:
            self.began.set_result(None)
        # An event may come in two pieces.
        text = self._rest + data
        end = 0
        for found in _COMMENT.finditer(text):
            self.heard[int(found[1])] = now
            end = found.end()
        self._rest = text[end:][-1000:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.began.done():
            self.began.set_exception(LoadError(f"a follower was not let in: {exc or self._rest[:200]!r}"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Fan(NamedTuple):
    """Milliseconds from before the request was sent: each follower's, and those of the last one to hear."""

    each: list[float]
    last: list[float]
    missed: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--followers", type=int, default=1000, help="of one server process [1000]")
    parser.add_argument("--rounds", type=int, default=3, help="of writing, each way of it [3]")
    parser.add_argument("--seconds", type=float, default=3, help="that a round lasts [3]")
    parser.add_argument(
        "--idle-seconds", type=float, default=35, help="for which followers hear nothing but heartbeats [35]"
    )
    parser.add_argument("--events", type=int, default=50, help="whose way to the followers is measured [50]")
    options = parser.parse_args(namespace=Options())
    try:
        _allow_files(options.followers + _FILES_BESIDE)
        with own_server(1) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_complete = runner.run(_measure(server, options))
    except (LoadError, OSError, EOFError) as error:
        sys.exit(f"benchmarks.events: {error or type(error).__name__}")
    if not is_complete:
        sys.exit("not every follower heard of every event")


def _allow_files(wanted: int) -> None:
    """Ours; the server raises its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise LoadError(f"{wanted} open files are needed, {hard} are allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _measure(server: OwnServer, options: Options) -> bool:
    address = Address.of(server.base_url)
    signer = Signer(server.client_id, server.api_secret, address.netloc)
    laboratories = [Laboratory(Connection(address, signer), _TOPIC) for _ in range(_LABORATORIES)]
    for laboratory in laboratories:
        await laboratory.connection.open()
        await prepare(laboratory)
    processes = Processes(server.pid, None)
    database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(server.database_url)
    await _write(processes, laboratories, 1)
    writes = Writes()
    for _ in range(options.rounds):
        await _switch(database, "disable")
        writes.without_triggers.append(await _write(processes, laboratories, options.seconds))
        await _switch(database, "enable")
        writes.without_followers.append(await _write(processes, laboratories, options.seconds))
    await database.close()
    alone = await _idle(processes, options.idle_seconds)

    before = _memory(processes)
    begin = _server_cpu(processes)
    followers = await _follow(address, Login(server.login, server.password, address.netloc), options.followers)
    accepting = (_server_cpu(processes) - begin) / options.followers
    grown = (_memory(processes) - before) / options.followers
    idle = await _idle(processes, options.idle_seconds)
    begin = _server_cpu(processes)
    fan = await _fan_out(laboratories[0], followers, options.events)
    telling = (_server_cpu(processes) - begin) / (options.events * options.followers)
    for _ in range(options.rounds):
        writes.with_followers.append(await _write(processes, laboratories, options.seconds))
    for follower in followers:
        follower.close()
    for laboratory in laboratories:
        await laboratory.connection.close()
    _tell_writes(writes, options.followers)
    _tell("")
    _tell_following(
        options.followers,
        [
            ("memory of the server", f"{grown / 1024:.1f} KiB a follower"),
            ("CPU to accept one", f"{accepting * 1e3:.2f} ms"),
            ("CPU while nothing happens", f"{idle * 1e3:.1f} ms a second; {alone * 1e3:.1f} without followers"),
            ("CPU to tell one follower of one event", f"{telling * 1e6:.0f} µs"),
            ("from the request to a follower, p50", f"{percentile(fan.each, 50):.1f} ms"),
            ("from the request to a follower, p95", f"{percentile(fan.each, 95):.1f} ms"),
            ("from the request to the last follower, p95", f"{percentile(fan.last, 95):.1f} ms"),
            ("events that a follower did not hear of", str(fan.missed)),
        ],
    )
    return fan.missed == 0


async def _switch(database: "asyncpg.Connection[asyncpg.Record]", word: str) -> None:
    for table, trigger in _TRIGGERS:
        await database.execute(f"alter table {table} {word} trigger {trigger}")


async def _write(processes: Processes, laboratories: list[Laboratory], seconds: float) -> Written:
    before = processes.cpu_seconds()
    load = await put_load(jobstate, laboratories, seconds, 1_000_000)
    # What was written is numbered and told within moments: that is a cost of writing it.
    await asyncio.sleep(0.2)
    after = processes.cpu_seconds()
    plays = len(load.latencies)
    return Written(
        _used(before.server, after.server) / plays * 1e6,
        _used(before.postgres, after.postgres) / plays * 1e6,
        percentile(sorted(load.latencies), 50) * 1e3,
    )


async def _idle(processes: Processes, seconds: float) -> float:
    """CPU seconds of the server in a second."""
    before, begin = _server_cpu(processes), time.perf_counter()
    await asyncio.sleep(seconds)
    return (_server_cpu(processes) - before) / (time.perf_counter() - begin)


async def _follow(address: Address, login: Login, number: int) -> list[Follower]:
    """They want the states of jobs only, as somebody who watches a screen does."""
    head = f"GET /api/v1/events?type=job_state_changed HTTP/1.1\r\n{login.headers('', '', '')}Accept: text/event-stream\r\n\r\n"
    followers: list[Follower] = []
    loop = asyncio.get_running_loop()
    while len(followers) < number:
        some = [Follower(head.encode()) for _ in range(min(_OPENED_AT_ONCE, number - len(followers)))]
        for follower in some:
            await loop.create_connection(lambda one=follower: one, address.host, address.port)
        async with asyncio.timeout(_SECONDS_TO_HEAR):
            await asyncio.gather(*(follower.began for follower in some))
        followers += some
    await asyncio.sleep(1)
    return followers


async def _fan_out(laboratory: Laboratory, followers: list[Follower], events: int) -> Fan:
    """One event after the other, each when all have heard of the one before it."""
    each: list[float] = []
    last: list[float] = []
    missed = 0
    for number in range(events):
        sent = time.perf_counter()
        await laboratory.post(
            "/jobstates", {"job_id": laboratory.job_id, "status": "running", "comment": f"heard {number}"}
        )
        while not all(number in one.heard for one in followers) and time.perf_counter() - sent < _SECONDS_TO_HEAR:
            await asyncio.sleep(0.02)
        taken = [(one.heard[number] - sent) * 1e3 for one in followers if number in one.heard]
        missed += len(followers) - len(taken)
        each += taken
        last.append(max(taken, default=_SECONDS_TO_HEAR * 1e3))
    return Fan(sorted(each), sorted(last), missed)


def _server_cpu(processes: Processes) -> float:
    return processes.cpu_seconds().server or 0


def _memory(processes: Processes) -> int:
    return processes.resident_bytes() or 0


def _used(before: float | None, after: float | None) -> float:
    return (after or 0) - (before or 0)


def _tell_writes(writes: Writes, followers: int) -> None:
    base = statistics.median(one.cpu for one in writes.without_followers)
    rows = [
        _cells("without the triggers", writes.without_triggers, base),
        _cells("with events, nobody follows", writes.without_followers, base),
        _cells(f"with events, {followers:,} follow", writes.with_followers, base),
    ]
    _tell(markdown(("a jobstate", "server CPU µs", "PostgreSQL CPU µs", "together", "p50 ms"), rows))


def _cells(name: str, rounds: list[Written], base: float) -> tuple[str, ...]:
    together = statistics.median(one.cpu for one in rounds)
    return (
        name,
        f"{statistics.median(one.server for one in rounds):,.0f}",
        f"{statistics.median(one.postgres for one in rounds):,.0f}",
        f"{together / base:.2f}",
        f"{statistics.median(one.p50_ms for one in rounds):.2f}",
    )


def _tell_following(followers: int, rows: Iterable[tuple[str, str]]) -> None:
    _tell(markdown((f"{followers:,} followers of one process", "measured"), list(rows)))


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
