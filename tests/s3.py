# SPDX-License-Identifier: Apache-2.0
"""A real S3 server for the tests: how it is installed, started, and addressed."""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import obstore
from obstore.store import S3Store

_SOURCE = Path(__file__).parent / "s3_server"
_SECRET_KEY = "a-secret-of-the-tests"
_BUCKET = "dci"
REGION = "us-east-1"
_HEAD = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) ([^ ?]*)[^ ]* HTTP/1.1\r\n")
_RANGE = re.compile(rb"\r\nrange: ([^\r]*)", re.IGNORECASE)


@dataclass(frozen=True)
class S3:
    """The process; its bucket is there."""

    endpoint: str
    pid: int

    @property
    def credentials(self) -> Mapping[str, str]:
        """As a server finds them in its environment."""
        return {"AWS_ACCESS_KEY_ID": "test:tester", "AWS_SECRET_ACCESS_KEY": _SECRET_KEY}

    def url(self, prefix: str, endpoint: str | None = None) -> str:
        """What `DCI_STORE_URL` says of a place of one's own in the bucket."""
        return f"s3://{_BUCKET}/{prefix}?endpoint={endpoint or self.endpoint}&region={REGION}"

    def bucket(self, prefix: str | None = None) -> S3Store:
        """The bucket as a client of its own sees it."""
        return S3Store(
            _BUCKET, prefix=prefix, client_options={"allow_http": True},
            config={
                "endpoint": self.endpoint, "region": REGION,
                "access_key_id": self.credentials["AWS_ACCESS_KEY_ID"], "secret_access_key": _SECRET_KEY,
            },
        )  # fmt: skip

    def keys(self, prefix: str) -> list[str]:
        """What is below the prefix."""
        # The stub names a type of a package that is not needed at run time.
        found = obstore.list(self.bucket(prefix))  # pyright: ignore[reportUnknownMemberType]
        return sorted(entry["path"] for listed in found for entry in listed)


@dataclass
class Watched:
    """The same server, reached through somebody who notes what it is asked for."""

    url: str
    requests: list[str]
    """`METHOD key range`, without the bucket and the prefix."""


@asynccontextmanager
async def watched(s3: S3, prefix: str) -> AsyncGenerator[Watched]:
    """Requests with a body are noted as long as no piece of it looks like the head of another one."""
    there = urlsplit(s3.endpoint)
    requests: list[str] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, noting: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                head = _HEAD.match(chunk) if noting else None
                if head is not None:
                    key = unquote(head[2].decode()).removeprefix(f"/{_BUCKET}/{prefix}/")
                    asked = _RANGE.search(chunk)
                    requests.append(f"{head[1].decode()} {key} {asked[1].decode() if asked else ''}".strip())
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(there.hostname, there.port)
        await asyncio.gather(carry(reader, forth, noting=True), carry(back, writer, noting=False))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield Watched(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests)
    server.close()


@contextmanager
def running_s3(directory: Path) -> Generator[S3]:
    """Keeps its objects in the directory, until the end."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", _SOURCE / "swift_s3.py", directory, _SECRET_KEY],
        env={**os.environ, "PYTHONPATH": str(_installed())},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            port = process.stdout.readline().strip()
            assert port, process.stderr.read()
            s3 = S3(f"http://127.0.0.1:{port}", process.pid)
            made = httpx.put(obstore.sign(s3.bucket(), "PUT", "", expires_in=timedelta(minutes=1)))
            assert made.status_code == 200, made.text
            yield s3
        finally:
            process.kill()


def _installed() -> Path:
    """What it imports, below .venv but apart from what is installed there; of several test processes one installs it."""
    lock = _SOURCE / "requirements.lock"
    version = f"{sys.implementation.cache_tag}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    directory = Path(sys.prefix) / "s3_server" / version
    directory.mkdir(parents=True, exist_ok=True)
    packages = directory / "packages"
    with (directory / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (directory / "ready").exists():
            shutil.rmtree(packages, ignore_errors=True)
            done = subprocess.run(
                [Path(sys.prefix) / "bin" / "uv", "pip", "install", "--quiet", "--require-hashes", "--no-deps",
                 "--python", sys.executable, "--target", packages, "-r", lock],
                env={**os.environ, "UV_SYSTEM_CERTS": "1"}, capture_output=True, text=True, timeout=250,
            )  # fmt: skip
            assert done.returncode == 0, f"the S3 server of the tests can't be installed:\n{done.stderr}"
            (directory / "ready").touch()
    return packages
