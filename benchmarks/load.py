# SPDX-License-Identifier: Apache-2.0
"""The load generator: several laboratories, each on a connection of its own that is kept open, for a bounded time."""

import asyncio
import hashlib
import ipaddress
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from benchmarks.signing import Login, Signer, Stranger

_ANSWER_SECONDS = 300
_LARGEST_HEAD = 1024**2
_READ_AT_ONCE = 1024**2


class LoadError(Exception):
    """The load can't be put on this server; the message says why."""


@dataclass(frozen=True)
class Address:
    """A server of this machine: load is never put on somebody else's."""

    host: str
    port: int

    @classmethod
    def of(cls, base_url: str) -> "Address":
        url = urlsplit(base_url)
        host = url.hostname or ""
        if url.scheme != "http" or not _is_loopback(host):
            raise LoadError(f"load is put on this machine only: --base-url is http://127.0.0.1:port, not {base_url!r}")
        return cls(host, url.port or 80)

    @property
    def netloc(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == 80 else f"{name}:{self.port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Body(Protocol):
    """What a request carries."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def chunks(self) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class Payload:
    """A body that is one chunk, sent over and over: a big one costs no memory here."""

    chunk: bytes = b""
    repeat: int = 1
    sha256: str = hashlib.sha256(b"").hexdigest()

    @classmethod
    def of(cls, chunk: bytes, repeat: int = 1) -> "Payload":
        digest = hashlib.sha256()
        for _ in range(repeat):
            digest.update(chunk)
        return cls(chunk, repeat, digest.hexdigest())

    @property
    def size(self) -> int:
        return len(self.chunk) * self.repeat

    def chunks(self) -> Iterator[bytes]:
        for _ in range(self.repeat):
            yield self.chunk


EMPTY = Payload()


@dataclass(frozen=True)
class Arrived:
    """A download that was read and not kept: so many bytes, or where they are."""

    size: int
    location: str | None = None


class Connection:
    """One keep-alive connection; its owner sends one request after the other."""

    def __init__(self, address: Address, caller: Signer | Login | Stranger) -> None:
        self._address = address
        self._caller = caller
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        self._streams = await asyncio.open_connection(self._address.host, self._address.port, limit=_LARGEST_HEAD)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()

    async def send(
        self, method: str, target: str, payload: Body = EMPTY, headers: str = "", status: int = 200
    ) -> bytes:
        """The answer's body. Raises LoadError for any other status."""
        reader = await self._ask(method, target, payload, headers)
        answered, body = await _read_answer(reader)
        _require_status(f"{method} {target}", status, answered, body)
        return body

    async def download(self, target: str) -> Arrived:
        """Whatever its size, it costs no memory here. Raises LoadError for what is neither the bytes nor a redirect."""
        reader = await self._ask("GET", target, EMPTY, "")
        head = await reader.readuntil(b"\r\n\r\n")
        answered, length = int(head[9:12]), _value(head, b"content-length")
        left = int(length or 0)
        if answered == HTTPStatus.FOUND:
            await reader.readexactly(left)
            return Arrived(0, (_value(head, b"location") or b"").decode())
        _require_status(f"GET {target}", HTTPStatus.OK, answered, b"")
        if length is None:
            raise LoadError(f"GET {target} does not say how long its answer is")
        while left > 0:
            piece = await reader.read(min(left, _READ_AT_ONCE))
            if not piece:
                raise LoadError(f"GET {target} ended {left} bytes too early")
            left -= len(piece)
        return Arrived(int(length))

    async def _ask(self, method: str, target: str, payload: Body, headers: str) -> asyncio.StreamReader:
        if self._streams is None:
            raise LoadError("the connection is not open")
        reader, writer = self._streams
        signed = self._caller.headers(method, target, payload.sha256)
        head = f"{method} {target} HTTP/1.1\r\n{signed}{headers}Content-Length: {payload.size}\r\n\r\n"
        chunks = payload.chunks()
        writer.write(head.encode() + next(chunks, b""))
        for chunk in chunks:
            await writer.drain()
            writer.write(chunk)
        return reader


async def follow(location: str) -> int:
    """The bytes of a redirect: without credentials, on a connection of its own, as clients do."""
    url = urlsplit(location)
    address = Address.of(f"{url.scheme}://{url.netloc}")
    connection = Connection(address, Stranger(address.netloc))
    await connection.open()
    try:
        return (await connection.download(f"{url.path}?{url.query}")).size
    finally:
        await connection.close()


def _require_status(asked: str, wanted: int, answered: int, body: bytes) -> None:
    if answered != wanted:
        raise LoadError(f"{asked} answered {answered} instead of {wanted}: {body[:300].decode(errors='replace')}")


def _value(head: bytes, name: bytes) -> bytes | None:
    """Of a header field, as it was sent."""
    place = head.lower().find(b"\r\n" + name + b":")
    if place < 0:
        return None
    begin = place + len(name) + 3
    return head[begin : head.index(b"\r\n", begin)].strip()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        return status, await reader.readexactly(int(rest[: rest.index(b"\r\n")]))
    if b"\r\ntransfer-encoding: chunked" in head:
        return status, await _read_chunks(reader)
    return status, b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


@dataclass
class Laboratory:
    """A connection with what its owner knows: the topic, and the job it works on."""

    connection: Connection
    topic: str
    topic_id: str = ""
    job_id: str = ""
    file_id: str = ""

    async def get(self, target: str) -> Any:
        return msgspec.json.decode(await self.connection.send("GET", f"/api/v1{target}"))

    async def post(self, target: str, document: object) -> Any:
        payload = Payload.of(msgspec.json.encode(document))
        return msgspec.json.decode(
            await self.connection.send(
                "POST", f"/api/v1{target}", payload, "Content-Type: application/json\r\n", status=201
            )
        )

    async def upload(self, name: str, payload: Body, mime: str = "text/plain") -> bytes:
        """The answer, unread."""
        headers = f"DCI-JOB-ID: {self.job_id}\r\nDCI-NAME: {name}\r\nDCI-MIME: {mime}\r\nContent-Type: {mime}\r\n"
        return await self.connection.send("POST", "/api/v1/files", payload, headers, status=201)

    async def upload_to_read(self, name: str, payload: Body, mime: str = "text/plain") -> None:
        """Leaves the laboratory with the file."""
        self.file_id = msgspec.json.decode(await self.upload(name, payload, mime))["file"]["id"]


Play = Callable[[Laboratory], Awaitable[None]]


@dataclass
class Load:
    """What was put on the server, and how long each play took."""

    seconds: float = 0.0
    generator_cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])


async def put_load(play: Play, laboratories: list[Laboratory], seconds: float, most: int) -> Load:
    """Until the time is over or `most` plays have begun, whichever comes first; each one is finished."""
    load = Load()
    remaining = most
    begin, cpu = time.perf_counter(), _own_cpu_seconds()

    async def work(laboratory: Laboratory) -> None:
        nonlocal remaining
        while remaining > 0 and time.perf_counter() - begin < seconds:
            remaining -= 1
            started = time.perf_counter()
            async with asyncio.timeout(_ANSWER_SECONDS):
                await play(laboratory)
            load.latencies.append(time.perf_counter() - started)

    try:
        async with asyncio.TaskGroup() as group:
            for laboratory in laboratories:
                group.create_task(work(laboratory))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    load.seconds = time.perf_counter() - begin
    load.generator_cpu_seconds = _own_cpu_seconds() - cpu
    return load


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
