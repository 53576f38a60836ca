# SPDX-License-Identifier: Apache-2.0
"""The clusters in a directory: `cluster-18` appears complete, by one rename, whether it is new or an upgrade of 16.

The one with the highest version is in use. An upgrade copies, so the older ones are kept untouched beside it until
their owner removes them.
"""

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from dci_server.foundation.database.embedded_process import Launcher, discard, finish_off

ROLE = "dci"
DATABASE = "dci"
FIRST_WITH_BUILTIN_LOCALE = 17
FIRST_WITH_CHECKSUMS_BY_DEFAULT = 18

ACCESS_RULES = """\
# Written by dci-server. The password is in the file `password`; nobody comes in without it, not even locally.
local all all scram-sha-256
local replication all scram-sha-256
"""


def path_of(directory: Path, major: int) -> Path:
    return directory / f"cluster-{major}"


def newest(directory: Path) -> int | None:
    """The major version of the cluster in use."""
    majors = [int(found[1]) for path in directory.iterdir() if (found := re.fullmatch(r"cluster-(\d+)", path.name))]
    return max(majors, default=None)


def create(launcher: Launcher, directory: Path, major: int, password: str, *, durable: bool) -> None:
    unfinished = _initialise(launcher, directory, major, password, durable=durable, checksums=True)
    _run_sql(launcher, unfinished, major, f"create database {DATABASE}\n")
    _publish(unfinished, path_of(directory, major))


def set_password(launcher: Launcher, cluster: Path, major: int, password: str) -> None:
    """Without a server, hence without the old password. Only the password's hash is stored and logged."""
    if not re.fullmatch(r"[0-9a-f]+", password):
        raise ValueError("a generated password has hexadecimal digits only")
    _run_sql(launcher, cluster, major, f"alter role {ROLE} password '{password}'\n")


def upgrade(
    launcher: Launcher, directory: Path, majors: tuple[int, int], sockets: Path, password: str, *, durable: bool
) -> None:
    """From the first major version to the second. Interrupted at any point, it starts over from the old cluster."""
    old, new = majors
    old_cluster = path_of(directory, old)
    # pg_upgrade wants an old cluster that was shut down cleanly; a single-user session recovers one that was not.
    _run_sql(launcher, old_cluster, old, "")
    checksums = _has_checksums(launcher, old_cluster, old)
    unfinished = _initialise(launcher, directory, new, password, durable=durable, checksums=checksums)
    write_file(old_cluster, "pg_hba.conf", ACCESS_RULES)
    with launcher.directories() as seen:
        there, here = seen.name(old_cluster), seen.name(unfinished)
        try:
            launcher.run(
                [
                    launcher.binaries[new] / "pg_upgrade",
                    *("--old-bindir", launcher.binaries[old], "--new-bindir", launcher.binaries[new]),
                    *("--old-datadir", there, "--new-datadir", here),
                    *("--username", ROLE, "--socketdir", seen.name(sockets)),
                    *(() if durable else ("--no-sync",)),
                ],
                seen,
                servers_of=[there, here],
                # Where it stands it leaves notes.
                cwd=unfinished,
                password=password,
            )
        finally:
            # It stops its servers by itself, unless it was interrupted.
            finish_off(old_cluster)
            finish_off(unfinished)
    (unfinished / "delete_old_cluster.sh").unlink(missing_ok=True)
    _publish(unfinished, path_of(directory, new))


def _initialise(
    launcher: Launcher, directory: Path, major: int, password: str, *, durable: bool, checksums: bool
) -> Path:
    """An empty cluster under a name that nothing takes for a cluster; a killed predecessor is thrown away."""
    unfinished = directory / f"cluster-{major}.new"
    discard(unfinished)
    unfinished.mkdir(mode=0o700)
    if launcher.account is not None:
        os.chown(unfinished, launcher.account.uid, launcher.account.gid)
    with launcher.directories() as seen:
        launcher.run(
            [
                launcher.binaries[major] / "initdb",
                *("--pgdata", seen.name(unfinished), "--username", ROLE),
                # A place-holder for our own rules: anything better would need the password in a file it can read.
                *("--auth", "reject", "--no-instructions", "--encoding", "UTF8", "--locale", "C"),
                *_locale_options(major),
                *_checksum_options(major, checksums=checksums),
                *(() if durable else ("--no-sync",)),
            ],
            seen,
        )
    write_file(unfinished, "pg_hba.conf", ACCESS_RULES)
    set_password(launcher, unfinished, major, password)
    return unfinished


def _locale_options(major: int) -> list[str]:
    """The builtin provider sorts alike on every machine and for ever, whatever the C library is."""
    if major < FIRST_WITH_BUILTIN_LOCALE:
        return []
    return ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]


def _checksum_options(major: int, *, checksums: bool) -> list[str]:
    if checksums:
        return ["--data-checksums"]
    return ["--no-data-checksums"] if major >= FIRST_WITH_CHECKSUMS_BY_DEFAULT else []


def _has_checksums(launcher: Launcher, cluster: Path, major: int) -> bool:
    facts = subprocess.run(  # noqa: S603  a program of the wheel; it only reads, so any account will do
        [launcher.binaries[major] / "pg_controldata", cluster],
        env={"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    version = re.search(r"^Data page checksum version: +(\d+)$", facts, re.MULTILINE)
    return version is not None and version[1] != "0"


def _run_sql(launcher: Launcher, cluster: Path, major: int, sql: str) -> None:
    """Without a server: one statement per line, none of it in the log, not even when it fails."""
    with launcher.directories() as seen:
        launcher.run(
            [
                *(launcher.binaries[major] / "postgres", "--single", "-D", seen.name(cluster)),
                *("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"),
                "template1",
            ],
            seen,
            text=sql,
        )


def _publish(unfinished: Path, cluster: Path) -> None:
    unfinished.rename(cluster)
    sync_directory(cluster.parent)


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(cluster: Path, name: str, text: str) -> None:
    """Owned like the cluster. As root we must not follow what its account may have put there, so it is always new."""
    owner = cluster.stat()
    directory = os.open(cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
        with os.fdopen(file, "w", encoding="utf-8") as lines:
            lines.write(text)
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
    finally:
        os.close(directory)
