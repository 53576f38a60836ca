# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL of our own in a directory: nothing to install, nothing left running, reopened at the first try.

`<directory>/` is private to its owner (0700) and holds `cluster-<major>/`, `password` (0600), `lock`, `postgres.log`,
and `socket/` or, when that path is too long for a socket, a link to a private directory elsewhere.

* One owner: an flock for life. The postmaster is its child and dies with it (see `embedded_process`).
* No TCP port; a socket that only the owner (and root) reaches; a random password even there.
* As root, PostgreSQL runs as the cluster's account (see `embedded_binaries`) and is handed its directories by
  descriptor, so that they may lie below places which that account cannot pass, and no mode is widened for it.
"""

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from types import TracebackType

import structlog

from dci_server.foundation.database import embedded_cluster
from dci_server.foundation.database.embedded_binaries import EmbeddedPostgresError, account_for, programs
from dci_server.foundation.database.embedded_directory import (
    PORT,
    acquire,
    bound_log,
    claim,
    make_socket_directory,
    read_password,
    remove_socket_directory,
    save_password,
    socket_directory,
    url_of,
)
from dci_server.foundation.database.embedded_process import (
    FAST_SHUTDOWN,
    IMMEDIATE_SHUTDOWN,
    SECONDS_BETWEEN_LOOKS,
    SECONDS_TO_SHUT_DOWN,
    Child,
    Launcher,
    finish_off,
    last_words,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "url_of_running"]

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class _Server:
    postmaster: Child
    cluster: Path


class EmbeddedPostgres:
    """The server, for as long as the `with` lasts. Start it from the main thread: it dies with the starting thread."""

    def __init__(
        self, directory: Path, *, max_connections: int = 100, durable: bool = True, _major: int | None = None
    ) -> None:
        """`durable=False` is for tests: a power cut may cost everything."""
        self.directory = directory.absolute()
        self._max_connections = max_connections
        self._durable = durable
        self._wanted_major = _major
        self._lock: int | None = None
        self._server: _Server | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server accepts connections: a new cluster is made, an older one upgraded, a crash healed."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start the embedded PostgreSQL from the main thread: it dies with the thread it is of")
        lock = claim(self.directory)
        acquire(lock, self.directory)
        self._lock = lock
        try:
            self._start()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise EmbeddedPostgresError(f"the database in {self.directory} cannot be started: {error}") from error
            raise

    def stop(self) -> None:
        """Returns when nothing of it runs any more; open transactions are rolled back."""
        if self._lock is None:
            return
        try:
            if self._server is not None:
                _shut_down(self._server)
            remove_socket_directory(self.directory)
        finally:
            self._server = None
            os.close(self._lock)
            self._lock = None

    @property
    def url(self) -> str:
        """With the password: for connecting, not for showing."""
        return url_of(self.directory)

    def failed(self) -> bool:
        """Whether the server died since it was started."""
        return self._server is not None and self._server.postmaster.exited()

    def _start(self) -> None:
        major = embedded_cluster.newest(self.directory)
        account = account_for(None if major is None else embedded_cluster.path_of(self.directory, major))
        launcher = Launcher(programs(account), account, self.directory / "postgres.log")
        wanted = self._wanted_major or max(launcher.binaries)
        _require_openable(major, wanted, launcher.binaries)
        bound_log(launcher.log)
        self._prepare(launcher, major, wanted)
        self._server = self._launch(launcher, wanted)
        _wait_until_ready(self._server, launcher.log)

    def _prepare(self, launcher: Launcher, major: int | None, wanted: int) -> None:
        """Afterwards there is a cluster of the wanted version, in which nothing runs, and whose password we know."""
        password = read_password(self.directory)
        known, password = password is not None, password or secrets.token_hex(32)
        if major is None:
            if not known:
                save_password(self.directory, password)
            embedded_cluster.create(launcher, self.directory, wanted, password, durable=self._durable)
            return
        current = embedded_cluster.path_of(self.directory, major)
        finish_off(current)
        if not known:
            embedded_cluster.set_password(launcher, current, major, password)
            save_password(self.directory, password)
        if major < wanted:
            majors, sockets = (major, wanted), make_socket_directory(self.directory, launcher.account)
            embedded_cluster.upgrade(launcher, self.directory, majors, sockets, password, durable=self._durable)
            _log.info("postgresql_upgraded", old=major, new=wanted, old_cluster_kept=str(current))
        else:
            embedded_cluster.write_file(current, "pg_hba.conf", embedded_cluster.ACCESS_RULES)

    def _launch(self, launcher: Launcher, major: int) -> _Server:
        cluster = embedded_cluster.path_of(self.directory, major)
        sockets = make_socket_directory(self.directory, launcher.account)
        with launcher.directories() as seen:
            embedded_cluster.write_file(cluster, "dci.conf", self._settings(seen.name(sockets)))
            place = seen.name(cluster)
            postmaster = launcher.start(
                [launcher.binaries[major] / "postgres", "-D", place, "-c", f"config_file={place}/dci.conf"],
                seen,
                death_signal=IMMEDIATE_SHUTDOWN,
            )
        return _Server(postmaster, cluster)

    def _settings(self, socket_directory: str) -> str:
        durable = "on" if self._durable else "off"
        settings = {
            "listen_addresses": "",
            "port": PORT,
            "unix_socket_directories": socket_directory,
            "unix_socket_permissions": "0700",
            "password_encryption": "scram-sha-256",
            "max_connections": self._max_connections,
            "shared_buffers": "128MB",
            "fsync": durable,
            "synchronous_commit": durable,
            "full_page_writes": durable,
            "wal_compression": "pglz",
            "max_wal_size": "1GB",
            "random_page_cost": 1.1,
            "jit": "off",
            "track_io_timing": "off",
            "idle_in_transaction_session_timeout": "60s",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "lc_messages": "C",
            "default_text_search_config": "pg_catalog.english",
            "log_line_prefix": "%m [%p] ",
            # The details of an error quote rows, and rows hold what no log may show.
            "log_error_verbosity": "terse",
        }
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        return "\n".join(["# Written by dci-server at each start; for changes that stay use ALTER SYSTEM.", *lines, ""])


def url_of_running(directory: Path) -> str | None:
    """For another process of the owner; None when no server answers there."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(socket_directory(directory) / f".s.PGSQL.{PORT}"))
        return url_of(directory)
    except PermissionError:
        raise EmbeddedPostgresError(
            f"{directory} belongs to another account: run this command as the account that runs dci-server"
        ) from None
    except OSError:
        return None


def _require_openable(major: int | None, wanted: int, binaries: dict[int, Path]) -> None:
    if major is None or major == wanted:
        return
    if major > wanted:
        raise EmbeddedPostgresError(
            f"the database was written by PostgreSQL {major}, newer than this dci-server's {wanted}: "
            "install the newer dci-server again"
        )
    if major not in binaries:
        raise EmbeddedPostgresError(
            f"the database was written by PostgreSQL {major}, which this dci-server cannot read: "
            "start it once with a dci-server between the two, which upgrades it"
        )


def _wait_until_ready(server: _Server, log: Path) -> None:
    """However long it takes: after a crash the log of changes is replayed first, and that is no failure."""
    while not _is_ready(server):
        if server.postmaster.exited():
            raise EmbeddedPostgresError(f"PostgreSQL did not start: {last_words(log)} (more in {log})")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _shut_down(server: _Server) -> None:
    if not server.postmaster.exited():
        server.postmaster.process.send_signal(FAST_SHUTDOWN)
        with suppress(TimeoutExpired):
            server.postmaster.wait(SECONDS_TO_SHUT_DOWN)
    finish_off(server.cluster)
    server.postmaster.wait()


def _is_ready(server: _Server) -> bool:
    """What pg_ctl looks at: the postmaster writes its id into the first line, its state into the eighth."""
    try:
        lines = (server.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(server.postmaster.process.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]
