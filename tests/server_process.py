# SPDX-License-Identifier: Apache-2.0
"""The server as a user starts it: a process with a port and a data directory of its own, on the embedded PostgreSQL."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import httpx
import psutil

from dci_server.foundation.database.embedded import url_of_running
from tests.signing import SignedBy
from tests.waiting import PATIENCE

T = TypeVar("T")
BIN = Path(sys.executable).parent
_SECONDS_TO_START = 180
"""For a machine that does much else."""
_FIRST_PORT, _LAST_PORT = 10_000, 32_000
# Each process begins somewhere else, and gives none twice.
_ports = islice(cycle(range(_FIRST_PORT, _LAST_PORT)), os.getpid() * 97 % (_LAST_PORT - _FIRST_PORT), None)


@dataclass
class Running:
    """A server process of its own, with its embedded database."""

    process: "subprocess.Popen[bytes]"
    url: str
    data: Path

    def rc(self, name: str) -> dict[str, str]:
        lines = (self.data / f"{name}.rc").read_text().splitlines()
        return {key: value.strip("'") for key, _, value in (line[7:].partition("=") for line in lines)}

    def dcictl(self, *arguments: str, rc: str = "demo") -> str:
        ran = subprocess.run(
            [BIN / "dcictl", *arguments], env={**os.environ, **self.rc(rc)}, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def signed(self) -> httpx.Client:
        rc = self.rc("demo")
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            auth=SignedBy(rc["DCI_CLIENT_ID"], rc["DCI_API_SECRET"]),
            headers={"Content-Type": "application/json"},
            verify=False,
            timeout=60,
        )

    def processes(self) -> list[psutil.Process]:
        """Its own, the workers', and PostgreSQL's, the server first."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """With DCI_WORKERS above 1: those that live."""
        told = told_by(self.processes(), lambda process: "spawn_main" in " ".join(process.cmdline()))
        return [process for process, is_worker in told if is_worker]

    def database_url(self) -> str:
        url = url_of_running(self.data / "postgres")
        assert url is not None
        return url

    def log(self) -> str:
        return log_of(self.data).read_text()


def told_by(
    processes: Iterable[psutil.Process], question: Callable[[psutil.Process], T]
) -> list[tuple[psutil.Process, T]]:
    """What those that are still there say: PostgreSQL's background processes come and go."""
    told: list[tuple[psutil.Process, T]] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            told.append((process, question(process)))
    return told


def free_port() -> int:
    """Of those that the system gives to nobody by itself, so that it is still free when a server starts there again."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", next(_ports)))
            return probe.getsockname()[1]


@cache
def _bound_and_deaf() -> socket.socket:
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def closed_port() -> int:
    """Where nobody listens, nor begins to."""
    return _bound_and_deaf().getsockname()[1]


def environment(data: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DCI_", "DATABASE_URL"))}
    return {**kept, "DCI_DATA_DIR": str(data), "DCI_PORT": str(port)}


def command(data: Path, *words: str) -> str:
    """What `dci-server` prints when it is asked something about that data directory."""
    ran = subprocess.run(
        [BIN / "dci-server", *words], env=environment(data, 0), capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def log_of(data: Path) -> Path:
    return data.with_name(f"{data.name}.log")


@cache
def _provisioned() -> TemporaryDirectory[str]:
    made = TemporaryDirectory(prefix="dci-provisioned-")
    command(Path(made.name) / "data", "provision", "--demo")
    return made


def provision(data: Path) -> None:
    """As `dci-server provision --demo` does, in a fraction of its time: every directory has the same ids and secrets."""
    subprocess.run(["cp", "-a", Path(_provisioned().name) / "data", data], check=True)


def start(data: Path, port: int, **settings: str) -> Running:
    """`dci-server serve` on a data directory with the demonstration's scene; back when it is ready."""
    if not data.exists():
        provision(data)
    with log_of(data).open("ab") as log:
        process = subprocess.Popen(
            [BIN / "dci-server", "serve"], env={**environment(data, port), **settings}, stdout=log, stderr=log
        )
    running = Running(process, f"http://127.0.0.1:{port}", data)
    end = time.monotonic() + _SECONDS_TO_START
    # Without certificates: to read them takes longer than to ask.
    with httpx.Client(base_url=running.url, verify=False, timeout=5) as client:
        while time.monotonic() < end:
            assert process.poll() is None, running.log()
            with suppress(httpx.TransportError):
                if client.get("/readyz").status_code == 200:
                    return running
            time.sleep(0.05)
    raise AssertionError(running.log())


def stop(running: Running, number: signal.Signals = signal.SIGINT) -> int:
    """The exit code. A server that does not stop is killed, and the test fails."""
    if running.process.poll() is None:
        running.process.send_signal(number)
    try:
        return running.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        running.process.kill()
        raise
