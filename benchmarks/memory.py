# SPDX-License-Identifier: Apache-2.0
"""How much a server grows while gigabytes go through it, one at a time and several at once: `python -m benchmarks.memory`.

Ends with 1 when it grew by more than it may. Read from /proc: the highest the kernel has seen, so that no peak is missed.
"""

import argparse
import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Address, Body, Connection, Laboratory, LoadError, Payload
from benchmarks.report import markdown
from benchmarks.scenarios import MEBIBYTE, log_text, prepare
from benchmarks.server import OwnServer, StoreKind, own_server
from benchmarks.signing import Login, Signer

_TOPIC = "RHEL-9.6"
_SECONDS_TO_FINISH = 1800
_CASES_OF_A_PIECE = 64
_CASE = (
    b'<testcase classname="suite.module_%07d" name="test_case_%09d" time="0.5"><system-out>%b</system-out></testcase>'
)


class Options(argparse.Namespace):
    size: int
    at_once: int
    output: int
    most_growth: int
    store: StoreKind


@dataclass(frozen=True)
class GeneratedReport:
    """A JUnit report of nearly this size, made while it is sent. Its cases are all different."""

    about: int
    output: bytes
    sha256: str = ""
    """It is sent with a password: a signature would need all of it beforehand."""

    @property
    def cases(self) -> int:
        return max(1, self.about // len(_case(0, self.output)))

    @property
    def size(self) -> int:
        return len(_HEAD) + self.cases * len(_case(0, self.output)) + len(_TAIL)

    def chunks(self) -> Iterator[bytes]:
        yield _HEAD
        for first in range(0, self.cases, _CASES_OF_A_PIECE):
            yield b"".join(_case(n, self.output) for n in range(first, min(first + _CASES_OF_A_PIECE, self.cases)))
        yield _TAIL


_HEAD, _TAIL = b'<testsuites><testsuite name="benchmark">', b"</testsuite></testsuites>"


def _case(number: int, output: bytes) -> bytes:
    return _CASE % (number // 100, number, output)


class Memory:
    """Of the server's process, which is one: its PostgreSQL and its bucket are others."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")

    def now(self) -> int:
        return self._read("VmRSS")

    def highest(self) -> int:
        return self._read("VmHWM")

    def forget_the_highest(self) -> None:
        try:
            (self._process / "clear_refs").write_text("5")
        except OSError as error:
            raise LoadError("the kernel does not let the highest memory be reset here") from error

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", (self._process / "status").read_text())
        if found is None:
            raise LoadError(f"the kernel does not tell {name}")
        return int(found[1]) * 1024


class Step(NamedTuple):
    name: str
    play: Callable[[Laboratory], Awaitable[None]]
    size: int


class Grown(NamedTuple):
    name: str
    at_once: int
    mebibytes: float
    seconds: float
    before: int
    highest: int

    @property
    def growth(self) -> float:
        return max(0, self.highest - self.before) / MEBIBYTE

    def cells(self) -> tuple[str, ...]:
        return (
            self.name, str(self.at_once), f"{self.mebibytes:,.0f}", f"{self.seconds:,.1f}",
            f"{self.mebibytes * self.at_once / self.seconds:,.0f}", f"{self.before / MEBIBYTE:,.0f}",
            f"{self.highest / MEBIBYTE:,.0f}", f"{self.growth:,.1f}",
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of each file and report [1024]")
    parser.add_argument("--at-once", type=int, default=8, help="after one alone so many [8]")
    parser.add_argument(
        "--output", type=int, default=4096, metavar="BYTES", help="that each test case has written [4096]"
    )
    parser.add_argument("--most-growth", type=int, default=64, metavar="MIB", help="that is let pass [64]")
    parser.add_argument("--store", choices=("local", "s3"), default="local", help="where files are kept [local]")
    options = parser.parse_args(namespace=Options())
    try:
        with own_server(1, options.store) as server:
            grown = asyncio.run(_measure(server, options))
    except (LoadError, OSError, EOFError) as error:
        sys.exit(f"benchmarks.memory: {error or type(error).__name__}")
    head = ("what", "at once", "MiB each", "s", "MiB/s", "before MiB", "highest MiB", "growth MiB")
    sys.stdout.write(markdown(head, [row.cells() for row in grown]) + "\n")
    if any(row.growth >= options.most_growth for row in grown):
        sys.exit(f"the server grew by {options.most_growth} MiB or more")


async def _measure(server: OwnServer, options: Options) -> list[Grown]:
    address = Address.of(server.base_url)
    signer = Signer(server.client_id, server.api_secret, address.netloc)
    login = Login(server.login, server.password, address.netloc)
    playing = [Laboratory(Connection(address, login), _TOPIC) for _ in range(options.at_once)]
    memory = Memory(server.pid)
    grown: list[Grown] = []
    async with _open(playing):
        for laboratory in playing:
            await laboratory.get("/identity")
    for at_once in dict.fromkeys((1, options.at_once)):
        for step in _steps(options):
            sys.stderr.write(f"{step.name}, {at_once} at once ...\n")
            await _prepare(playing[:at_once], Laboratory(Connection(address, signer), _TOPIC))
            async with _open(playing[:at_once]), asyncio.timeout(_SECONDS_TO_FINISH):
                memory.forget_the_highest()
                before, begin = memory.now(), time.perf_counter()
                await asyncio.gather(*(step.play(laboratory) for laboratory in playing[:at_once]))
                seconds = time.perf_counter() - begin
            grown.append(Grown(step.name, at_once, step.size / MEBIBYTE, seconds, before, memory.highest()))
    return grown


@contextlib.asynccontextmanager
async def _open(laboratories: list[Laboratory]) -> AsyncGenerator[None]:
    """For a step only: the server closes what is idle for long."""
    for laboratory in laboratories:
        await laboratory.connection.open()
    try:
        yield
    finally:
        for laboratory in laboratories:
            await laboratory.connection.close()


def _steps(options: Options) -> list[Step]:
    """The download is of what was uploaded before it."""
    content = Payload.of(log_text(MEBIBYTE), options.size)
    report = GeneratedReport(options.size * MEBIBYTE, log_text(options.output))

    async def download(laboratory: Laboratory) -> None:
        arrived = await laboratory.connection.download(f"/api/v1/files/{laboratory.file_id}/content")
        if arrived.size != content.size:
            raise LoadError(f"a file of {content.size} bytes came back with {arrived.size}")

    return [
        Step("upload", _upload(content, "text/plain"), content.size),
        Step("download", download, content.size),
        Step(f"JUnit, {report.cases:,} cases", _upload(report, "application/junit"), report.size),
    ]


def _upload(body: Body, mime: str) -> Callable[[Laboratory], Awaitable[None]]:
    async def play(laboratory: Laboratory) -> None:
        await laboratory.upload_to_read("benchmark", body, mime)

    return play


async def _prepare(playing: list[Laboratory], signing: Laboratory) -> None:
    """A job for each. Only a remoteci makes them; its team may write to them."""
    async with _open([signing]):
        for laboratory in playing:
            await prepare(signing)
            laboratory.job_id = signing.job_id


if __name__ == "__main__":
    main()
