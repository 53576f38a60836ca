# SPDX-License-Identifier: Apache-2.0
"""A real server of Azure Blob Storage for the tests: how it is installed, started, and addressed."""

import base64
import fcntl
import hashlib
import hmac
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

_SOURCE = Path(__file__).parent / "azure_server"
_ACCOUNT = "dcitests"
_KEY = base64.b64encode(b"a secret of the tests, long enough").decode()
_CONTAINER = "dci"
_VERSION = "2021-08-06"


@dataclass(frozen=True)
class Azure:
    """The process; its container is there."""

    endpoint: str

    @property
    def credentials(self) -> Mapping[str, str]:
        """As a server finds them in its environment."""
        return {"AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": _KEY}

    def url(self, prefix: str, container: str = _CONTAINER) -> str:
        """What `DCI_STORE_URL` says of a place of one's own in the container."""
        return f"az://{container}/{prefix}?endpoint={self.endpoint}"


@contextmanager
def running_azure() -> Generator[Azure]:
    """Keeps its blobs in memory, until the end. Skips the test where Node.js is not installed."""
    program = _installed() / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    words = ["--blobPort", "0", "--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with subprocess.Popen(
        ["node", program, *words],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            said = next((line for line in process.stdout if "successfully listens" in line), "")
            azure = Azure(f"{said.rpartition(' ')[2].strip()}/{_ACCOUNT}")
            _make_container(azure)
            yield azure
        finally:
            process.kill()


def _make_container(azure: Azure) -> None:
    """The library makes none. Signed with the account's key, as the service wants it."""
    moment = format_datetime(datetime.now(UTC), usegmt=True)
    headers = {"x-ms-date": moment, "x-ms-version": _VERSION}
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{moment}\nx-ms-version:{_VERSION}\n"
    signed += f"/{_ACCOUNT}/{_ACCOUNT}/{_CONTAINER}\nrestype:container"
    proof = base64.b64encode(hmac.digest(base64.b64decode(_KEY), signed.encode(), "sha256")).decode()
    headers["Authorization"] = f"SharedKey {_ACCOUNT}:{proof}"
    made = httpx.put(f"{azure.endpoint}/{_CONTAINER}?restype=container", headers=headers)
    assert made.status_code == 201, made.text


def _installed() -> Path:
    """With its dependencies, below .venv; of several test processes one installs them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("the tests of az:// need node and npm (Node.js 20 or newer), which are not installed")
    lock = (_SOURCE / "package-lock.json").read_bytes()
    directory = Path(sys.prefix) / "azure_server" / hashlib.sha256(lock).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (directory / "ready").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_SOURCE / name, directory)
            words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=250)
            assert done.returncode == 0, f"npm ci failed in {directory}:\n{done.stderr}"
            (directory / "ready").touch()
    return directory
