# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks`: measures a server of its own, or any server of this API on this machine."""

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvloop

from benchmarks.lists import list_scenarios
from benchmarks.load import Address, Connection, Laboratory, LoadError, Play, put_load
from benchmarks.processes import Processes
from benchmarks.report import Report, Row, Span, in_mebibytes, row_of, table
from benchmarks.scenarios import Caller, Scenario, find_topic, prepare, scenarios
from benchmarks.seed import MEMBER, seed
from benchmarks.server import StoreKind, own_server
from benchmarks.signing import Login, Signer
from benchmarks.transfers import transfer_scenarios


class Options(argparse.Namespace):
    """What can be asked for on the command line."""

    seconds: float
    connections: int
    only: list[str]
    store: StoreKind
    big: int
    huge: bool
    jobs: int
    components: int
    cases: int
    no_seed: bool
    workers: int
    json: Path | None
    base_url: str | None
    client_id: str
    api_secret: str
    topic: str
    login: str
    password: str
    server_pid: int | None
    postgres_pid: int | None


@dataclass(frozen=True)
class Target:
    """The server that is measured. One that is not ours is not seeded: its database is not known."""

    base_url: str
    client_id: str
    api_secret: str
    processes: Processes
    database_url: str | None = None
    login: str = ""
    password: str = ""


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="how long each scenario lasts [3]")
    parser.add_argument("--connections", type=int, default=4, help="laboratories at once [4]")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="only the scenarios with this in their name; repeatable",
    )
    parser.add_argument("--store", choices=("local", "s3"), default="local", help="where files are kept [local]")
    parser.add_argument("--big", type=int, default=256, metavar="MIB", help="size of the biggest file; 0: none [256]")
    parser.add_argument("--huge", action="store_true", help="also a report of a million test cases")
    parser.add_argument("--jobs", type=int, default=300_000, help="jobs to write before measuring [300000]")
    parser.add_argument("--components", type=int, default=100_000, help="components to write [100000]")
    parser.add_argument("--cases", type=int, default=2_000_000, help="test cases of reports to write [2000000]")
    parser.add_argument("--no-seed", action="store_true", help="measure on the tables as they are")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server that is started [1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    parser.add_argument("--topic", default="RHEL-9.6", help="the topic that is worked on [RHEL-9.6]")
    other = parser.add_argument_group("a server that runs already, on this machine")
    other.add_argument("--base-url", metavar="URL")
    other.add_argument("--client-id", default="", metavar="ID")
    other.add_argument("--api-secret", default="", metavar="SECRET")
    other.add_argument("--login", default="", metavar="NAME", help="of a user there, for the requests with a password")
    other.add_argument("--password", default="", metavar="PASSWORD")
    other.add_argument("--server-pid", type=int, metavar="PID", help="to measure its CPU and memory")
    other.add_argument("--postgres-pid", type=int, metavar="PID", help="of its PostgreSQL, the first process")
    return parser.parse_args(namespace=Options())


def main() -> None:
    options = _options()
    try:
        report = _measure_given(options) if options.base_url else _measure_own(options)
    except (LoadError, OSError, EOFError) as error:
        sys.exit(f"benchmarks: {error or type(error).__name__}")
    sys.stdout.write(f"\n{table(report)}\n")
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def _measure_own(options: Options) -> Report:
    with own_server(options.workers, options.store) as server:
        processes = Processes(server.pid, None, server.store_pid)
        return _run(
            options,
            Target(
                server.base_url,
                server.client_id,
                server.api_secret,
                processes,
                server.database_url,
                server.login,
                server.password,
            ),
        )


def _measure_given(options: Options) -> Report:
    if not options.client_id or not options.api_secret:
        raise LoadError("--base-url needs --client-id and --api-secret, those of a remoteci there")
    processes = Processes(options.server_pid, options.postgres_pid)
    return _run(
        options,
        Target(
            options.base_url or "",
            options.client_id,
            options.api_secret,
            processes,
            login=options.login,
            password=options.password,
        ),
    )


def _run(options: Options, target: Target) -> Report:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(options, target))


async def _measure(options: Options, target: Target) -> Report:
    address = Address.of(target.base_url)
    callers = _callers(target, address.netloc)
    idle = target.processes.resident_bytes()
    seeded = await _seed(options, target)
    rows: list[Row] = []
    for scenario in _scenarios(options):
        if scenario.caller in callers:
            _tell(scenario.name)
            asking = callers[scenario.caller]
            laboratories = [Laboratory(Connection(address, asking), options.topic) for _ in range(options.connections)]
            rows.append(await _measure_scenario(scenario, laboratories, target.processes, options.seconds))
    workers, store = (None, None) if options.base_url else (options.workers, options.store)
    return Report(target.base_url, options.connections, workers, store, seeded, in_mebibytes(idle), rows)


def _scenarios(options: Options) -> list[Scenario]:
    has_addresses = options.store == "s3" and not options.base_url
    transfers = transfer_scenarios(options.big, redirects=has_addresses)
    found = [*scenarios(huge=options.huge), *transfers, *list_scenarios()]
    return [scenario for scenario in found if not options.only or any(text in scenario.name for text in options.only)]


def _callers(target: Target, host: str) -> dict[Caller, Signer | Login]:
    """A server that was not seeded has no member of many teams, and a user only when one is named."""
    callers: dict[Caller, Signer | Login] = {"laboratory": Signer(target.client_id, target.api_secret, host)}
    if target.login:
        callers["user"] = Login(target.login, target.password, host)
    if target.login and target.database_url is not None:
        callers["member"] = Login(MEMBER, target.password, host)
    return callers


async def _seed(options: Options, target: Target) -> int:
    if options.no_seed or target.database_url is None:
        return 0
    _tell(f"writing {options.jobs:,} jobs, {options.components:,} components, {options.cases:,} test cases")
    await seed(target.database_url, options.topic, options.jobs, options.components, options.cases)
    return options.jobs


def _preparation(scenario: Scenario) -> Play:
    return scenario.preparation or (prepare if scenario.caller == "laboratory" else find_topic)


async def _measure_scenario(
    scenario: Scenario, laboratories: list[Laboratory], processes: Processes, seconds: float
) -> Row:
    playing = laboratories[: scenario.connections]
    for laboratory in playing:
        await laboratory.connection.open()
        await _preparation(scenario)(laboratory)
    try:
        if scenario.warm_up:
            await put_load(scenario.play, playing, seconds, scenario.warm_up * len(playing))
        before, bytes_before = processes.cpu_seconds(), processes.resident_bytes()
        async with processes.peak() as peak:
            load = await put_load(scenario.play, playing, seconds, scenario.most)
        return row_of(scenario, load, Span(before, processes.cpu_seconds(), bytes_before, peak.resident_bytes))
    finally:
        for laboratory in playing:
            await laboratory.connection.close()


def _tell(step: str) -> None:
    sys.stderr.write(f"{step} ...\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
