# SPDX-License-Identifier: Apache-2.0
"""Programs of Node.js that tests talk to: how they are installed."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def installed(source: Path, needed_by: str) -> Path:
    """Where the dependencies of that package are, below .venv; of several test processes one installs them.

    Skips the test where Node.js is not installed.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"{needed_by} need node and npm (Node.js 20 or newer), which are not installed")
    lock = (source / "package-lock.json").read_bytes()
    directory = Path(sys.prefix) / source.name / hashlib.sha256(lock).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (directory / "ready").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, directory)
            words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=250)
            assert done.returncode == 0, f"npm ci failed in {directory}:\n{done.stderr}"
            (directory / "ready").touch()
    return directory
