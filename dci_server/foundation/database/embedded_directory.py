# SPDX-License-Identifier: Apache-2.0
"""What the database's directory holds beside its clusters: lock, password, log, and the way to the socket."""

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from dci_server.foundation.database import embedded_cluster
from dci_server.foundation.database.embedded_binaries import Account, EmbeddedPostgresError
from dci_server.foundation.database.embedded_process import SECONDS_BETWEEN_LOOKS

PORT = 5432
# macOS allows a socket 103 bytes, Linux 107; pg_upgrade's sockets have the longer name.
LONGEST_SOCKET_DIRECTORY = 103 - len("/.s.PGSQL.50432")
BIGGEST_LOG = 10 * 1024 * 1024
SECONDS_FOR_A_DEAD_OWNER = 10.0


def url_of(directory: Path) -> str:
    password = read_password(directory)
    if password is None:
        raise EmbeddedPostgresError(f"{directory}/password is missing: restart dci-server, which makes a new one")
    place = quote(str(socket_directory(directory)), safe="")
    # The port is said because drivers would otherwise take it from PGPORT.
    return f"postgresql://{embedded_cluster.ROLE}:{password}@/{embedded_cluster.DATABASE}?host={place}&port={PORT}"


def claim(directory: Path) -> int:
    """Private and ours: an existing directory is taken only when it is empty or was ours before. Its opened lock."""
    try:
        directory.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        if any(directory.iterdir()) and not (directory / "lock").exists():
            raise EmbeddedPostgresError(f"{directory} holds other things: give the database a directory of its own")
        if stat.S_IMODE(directory.stat().st_mode) != stat.S_IRWXU:
            directory.chmod(stat.S_IRWXU)
        return os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{directory} cannot hold the database ({error.strerror}): choose a directory this account may write to"
        ) from error


def acquire(lock: int, directory: Path) -> None:
    """Held until it is closed. A dead owner's forked workers may hold it a moment longer than the owner lived."""
    deadline = time.monotonic() + SECONDS_FOR_A_DEAD_OWNER
    while not _try_lock(lock):
        owner = int(os.pread(lock, 20, 0) or b"0")
        if _is_alive(owner) or time.monotonic() > deadline:
            os.close(lock)
            raise EmbeddedPostgresError(
                f"another dci-server (process {owner}) uses {directory}: stop it, or choose another directory"
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def bound_log(log: Path) -> None:
    if log.exists() and log.stat().st_size > BIGGEST_LOG:
        log.replace(log.with_name(f"{log.name}.1"))


def read_password(directory: Path) -> str | None:
    try:
        return (directory / "password").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def save_password(directory: Path, password: str) -> None:
    """Complete and on the disk before a cluster relies on it."""
    unfinished = directory / "password.new"
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(directory / "password")
    embedded_cluster.sync_directory(directory)


def socket_directory(directory: Path) -> Path:
    return (directory / "socket").resolve()


def make_socket_directory(directory: Path, account: Account | None) -> Path:
    """Always new: nothing that was put into an older one can be mistaken for the server."""
    remove_socket_directory(directory)
    place = directory / "socket"
    if not _fits(place):
        link, place = place, _short_private_directory() / "socket"
        link.symlink_to(place)
    place.mkdir(mode=0o700)
    if account is not None:
        os.chown(place, account.uid, account.gid)
    return place


def _fits(place: Path) -> bool:
    """Short enough for a socket, and without a character that a list of directories or hosts would split at."""
    return len(os.fsencode(place)) <= LONGEST_SOCKET_DIRECTORY and re.fullmatch(r"[\w/.+-]+", str(place)) is not None


def _short_private_directory() -> Path:
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  the directory made in it is private
        if _fits(parent / "dci-12345678" / "socket") and os.access(parent, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="dci-", dir=parent))
    raise EmbeddedPostgresError("no directory with a path short enough for a socket: set TMPDIR to a short one")


def remove_socket_directory(directory: Path) -> None:
    place = directory / "socket"
    if place.is_symlink():
        elsewhere = place.readlink().parent
        place.unlink()
        # It may be somebody else's by now: temporary directories are cleaned behind our back.
        with suppress(FileNotFoundError):
            if elsewhere.name.startswith("dci-") and elsewhere.lstat().st_uid == os.geteuid():
                shutil.rmtree(elsewhere)
    elif place.exists():
        shutil.rmtree(place)
