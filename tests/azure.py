# SPDX-License-Identifier: Apache-2.0
"""A real server of Azure Blob Storage for the tests: how it is installed, started, and addressed."""

import base64
import hmac
import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx

from tests.node import installed

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
    program = (
        installed(_SOURCE, "the tests of az://") / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    )
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
