# SPDX-License-Identifier: Apache-2.0
"""Starts PostgreSQL's programs so that they never outlive their owner, and finishes off what an earlier owner left."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from dci_server.foundation.database import embedded_child
from dci_server.foundation.database.embedded_binaries import Account, EmbeddedPostgresError
from dci_server.foundation.database.embedded_child import Oath

# To stop: open transactions are rolled back and a checkpoint is written, so that the next start needs no recovery.
FAST_SHUTDOWN = signal.SIGINT
# For an orphan: like a crash, which the next start heals. A fast shutdown is no promise that it ends: PostgreSQL 18.4
# stays for ever when it is asked for one while it recovers from the death of a backend.
IMMEDIATE_SHUTDOWN = signal.SIGQUIT
SECONDS_TO_SHUT_DOWN = 30.0
SECONDS_TO_DIE = 10.0
SECONDS_BETWEEN_LOOKS = 0.01

HAS_PARENT_DEATH_SIGNAL = sys.platform == "linux"


class Directories:
    """How a child can name our directories.

    A child with another account may not pass through our private directories (0700, or below /root), and widening them
    is out of the question; so it inherits the opened directory, and names it by descriptor.
    """

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self.descriptors: list[int] = []

    def name(self, directory: Path) -> str:
        if self._account is None:
            return str(directory)
        self.descriptors.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
        return f"/proc/self/fd/{self.descriptors[-1]}"

    def __enter__(self) -> "Directories":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


@dataclass
class Child:
    """A program that dies with us; where the kernel doesn't promise that, `lifeline` is the pipe that tells it."""

    process: subprocess.Popen[bytes]
    lifeline: int | None = None

    def exited(self) -> bool:
        if self.process.poll() is None:
            return False
        self._release()
        return True

    def wait(self, seconds: float | None = None) -> int:
        code = self.process.wait(seconds)
        self._release()
        return code

    def _release(self) -> None:
        if self.lifeline is not None:
            # Not just closed: the end of the pipe means "kill", and the process id may be somebody else's by then.
            with contextlib.suppress(BrokenPipeError):
                os.write(self.lifeline, b".")
            os.close(self.lifeline)
            self.lifeline = None


@dataclass
class Launcher:
    """PostgreSQL's programs, run under the right account, writing into one log."""

    binaries: dict[int, Path]
    account: Account | None
    log: Path

    def directories(self) -> Directories:
        return Directories(self.account)

    def start(
        self,
        command: Sequence[str | Path],
        directories: Directories,
        *,
        death_signal: signal.Signals,
        servers_of: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
        cwd: Path | str = "/",
        password: str | None = None,
    ) -> Child:
        """`servers_of` names the clusters in which the command starts servers of its own."""
        reading, writing = os.pipe() if servers_of or not HAS_PARENT_DEATH_SIGNAL else (None, None)
        oath: Oath = {
            "owner": os.getpid(),
            "account": None if self.account is None else (self.account.uid, self.account.gid),
            "death_signal": int(death_signal),
            "has_death_signal": HAS_PARENT_DEATH_SIGNAL,
            "lifeline": reading,
            "clusters": list(servers_of),
        }
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            process = subprocess.Popen(  # noqa: S603  a program of the wheel
                [sys.executable, "-I", "-S", embedded_child.__file__, json.dumps(oath), *map(str, command)],
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=_environment(password),
                pass_fds=[*directories.descriptors, *([] if reading is None else [reading])],
                # Ctrl-C in the owner's terminal is for the owner, which still has requests to answer.
                start_new_session=True,
            )
        finally:
            os.close(log)
            if reading is not None:
                os.close(reading)
        return Child(process, writing)

    def run(
        self,
        command: Sequence[str | Path],
        directories: Directories,
        *,
        servers_of: Sequence[str] = (),
        text: str = "",
        cwd: Path | str = "/",
        password: str | None = None,
    ) -> None:
        """To its end; `text` is what it reads."""
        child = self.start(
            command,
            directories,
            death_signal=signal.SIGKILL,
            servers_of=servers_of,
            stdin=subprocess.PIPE,
            cwd=cwd,
            password=password,
        )
        try:
            child.process.communicate(text.encode())
        finally:
            # Interrupted, it must not go on behind our back.
            child.process.kill()
            code = child.wait()
        if code != 0:
            name = Path(command[0]).name
            raise EmbeddedPostgresError(f"{name} failed: {last_words(self.log)} (more in {self.log})")


def _environment(password: str | None) -> dict[str, str]:
    """Not ours: a PGPORT or PGDATA of the operator's shell would go straight into the server."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    if password is not None:
        environment["PGPASSWORD"] = password
    return environment


def last_words(log: Path) -> str:
    """The last line that names an error, for a message of one line."""
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - 16384))
        tail = lines.read().decode(errors="replace").splitlines()
    wanted = re.compile(r"FATAL|PANIC|(?i:error)|could not")
    return next((line.strip() for line in reversed(tail) if wanted.search(line)), "it left no message")


def processes_in(cluster: Path) -> list[psutil.Process]:
    """PostgreSQL's processes work in their cluster's directory, whoever their parent is. The dead don't count."""
    place = cluster.stat()
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == "postgres" and os.path.samestat(place, Path(process.cwd()).stat()):
                found.append(process)
    return found


def finish_off(cluster: Path) -> None:
    """Ends whatever still runs in a cluster whose owner is dead: an own lock says that we are the owner now.

    PostgreSQL refuses to start beside survivors, and when a stale postmaster.pid names a process that exists (a zombie,
    or a stranger with a reused id). Survivors are looked for by their working directory, so that none is mistaken.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        postmaster = int(pid_file.read_text(encoding="utf-8").partition("\n")[0])
    except (FileNotFoundError, ValueError):
        postmaster = None
    for process in processes_in(cluster):
        if process.pid == postmaster:
            with contextlib.suppress(psutil.Error):
                process.send_signal(IMMEDIATE_SHUTDOWN)
            _wait_until_gone(cluster)
    deadline = time.monotonic() + SECONDS_TO_DIE
    while survivors := processes_in(cluster):
        # Their postmaster is dead, or does not listen. Nothing acknowledged is lost: it is in the log of changes.
        for process in survivors:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in survivors)
            raise EmbeddedPostgresError(f"processes {pids} still use {cluster} and cannot be ended: end them and retry")
        time.sleep(SECONDS_BETWEEN_LOOKS)
    pid_file.unlink(missing_ok=True)


def _wait_until_gone(cluster: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_DIE
    while processes_in(cluster) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)


def discard(cluster: Path) -> None:
    """An unfinished cluster, and what still writes into it."""
    if cluster.exists():
        finish_off(cluster)
        shutil.rmtree(cluster)
