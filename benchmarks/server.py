# SPDX-License-Identifier: Apache-2.0
"""A server of the benchmark's own: a process on a free port, with an empty data directory that goes with it."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.load import LoadError
from tests.s3 import running_s3

_START_SECONDS = 90
_STOP_SECONDS = 30
# A database or a store of somebody's must not be filled with what a benchmark writes.
_NOT_INHERITED = ("DATABASE_URL", "DCI_STORE_URL", "DCI_SECRETS_KEY", "DCI_ADMIN_PASSWORD", "DCI_HOST")

StoreKind: TypeAlias = Literal["local", "s3"]
"""A directory; or the S3 server of the tests, a process of its own."""


@dataclass(frozen=True)
class OwnServer:
    pid: int
    base_url: str
    client_id: str
    api_secret: str
    database_url: str
    login: str
    password: str
    data: Path
    store_pid: int | None


@contextlib.contextmanager
def own_server(workers: int, store: StoreKind = "local") -> Generator[OwnServer]:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="dci-benchmark-"))
        data = Path(directory) / "data"
        base_url = f"http://127.0.0.1:{_free_port()}"
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        environment |= {
            "DCI_PORT": base_url.rpartition(":")[2],
            "DCI_DATA_DIR": str(data),
            "DCI_WORKERS": str(workers),
        }
        store_pid = None
        if store == "s3":
            objects = Path(directory) / "objects"
            objects.mkdir()
            s3 = stack.enter_context(running_s3(objects))
            environment |= {"DCI_STORE_URL": s3.url("benchmark"), **s3.credentials}
            store_pid = s3.pid
        log = Path(directory) / "server.log"
        with log.open("wb") as output:
            scene = [_program(), "provision", "--demo"]
            subprocess.run(scene, env=environment, stdout=output, stderr=output, check=True)
            process = subprocess.Popen([_program(), "serve"], env=environment, stdout=output, stderr=output)
        try:
            _wait_until_ready(process, base_url, log)
            variables, user = _read_rc(data / "demo.rc"), _read_rc(data / "demo-user.rc")
            yield OwnServer(
                process.pid,
                base_url,
                variables["DCI_CLIENT_ID"],
                variables["DCI_API_SECRET"],
                _database_url(environment),
                user["DCI_LOGIN"],
                user["DCI_PASSWORD"],
                data,
                store_pid,
            )
        finally:
            _stop(process)


def _program() -> str:
    return str(Path(sys.executable).with_name("dci-server"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(process: "subprocess.Popen[bytes]", base_url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{base_url}/readyz", timeout=5):
            return
        time.sleep(0.1)
    raise LoadError(f"the server did not start; the end of its log:\n{log.read_text(errors='replace')[-2000:]}")


def _read_rc(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.removeprefix("export ").partition("=") for line in lines if line.startswith("export ")]
    return {name: value.strip("'\"") for name, _, value in pairs}


def _database_url(environment: dict[str, str]) -> str:
    asked = subprocess.run([_program(), "database-url"], env=environment, capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
