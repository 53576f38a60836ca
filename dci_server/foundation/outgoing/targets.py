# SPDX-License-Identifier: Apache-2.0
"""Where the server may connect when a user names the address: to the public internet, and to what the operator allows.

An address is judged after its name was resolved, and the connection goes to exactly the address that was judged: a name
that resolves to something else a moment later changes nothing.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, cast
from urllib.parse import urlsplit

import httpcore

from dci_server.foundation.errors import ApiError

_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
"""Special purposes, by the registries of the IANA. 2002::/16 and 2001::/32 lead to IPv4 addresses through relays."""
_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""What is public in IPv6: no loopback, local, multicast, mapped or site-local address is in it."""
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK = IPv4Address("127.0.0.1")
_LOOPBACK_NAME = re.compile(r"(.+\.)?localhost|localhost[46]?(\.localdomain[46]?)?|ip6-(localhost|loopback)")
"""What is loopback everywhere (RFC 6761), and what the hosts files of Linux call it."""

_MOST_READ = 256 * 1024
"""Of an answer, heads and bodies together."""
_LONGEST_URL = 2000
_URL = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?\.?|[0-9a-f:.]+", re.IGNORECASE)
_LOOKUPS_AT_ONCE = 32

Address = IPv4Address | IPv6Address


class TargetRefused(Exception):
    """The server does not connect there; the message says why, in words for the owner of the address."""


@dataclass(frozen=True, slots=True)
class Url:
    """An address taken apart once, so that nobody else reads it differently."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """For the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"http": 80, "https": 443}


def read_url(text: str) -> Url:
    """Raises ApiError for what is no plain http or https address."""
    if len(text) > _LONGEST_URL:
        raise ApiError(f"url has more than {_LONGEST_URL} characters")
    refusal = ApiError("url is an address like https://ci.example.org/hook, in ASCII, without user and password")
    if not _URL.fullmatch(text) or "\\" in text:
        raise refusal
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise refusal from None
    host = parts.hostname or ""
    if "@" in parts.netloc or not _HOST.fullmatch(host) or port == 0:
        raise refusal
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(parts.scheme, host, port or _PORTS[parts.scheme], target)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows besides the public internet: networks, and names whatever they resolve to."""

    networks: Sequence[IPv4Network | IPv6Network] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str]) -> "Allowed":
        networks: list[IPv4Network | IPv6Network] = []
        hosts: set[str] = set()
        for word in words:
            try:
                networks.append(ip_network(word))
            except ValueError:
                hosts.add(word.lower().rstrip("."))
        return cls(tuple(networks), frozenset(hosts))


class Targets:
    """Resolves names, and judges what they resolve to."""

    def __init__(self, allowed: Allowed | None = None) -> None:
        self._allowed = allowed or Allowed()
        # Threads of their own: a name server that does not answer holds up nobody else's.
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="resolve")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def require_acceptable(self, url: Url) -> None:
        """What can be said without resolving a name. Raises TargetRefused."""
        for address in _literal(url.host):
            self._require_allowed(url.host, address)

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Every address of the host, all of them allowed. Raises TargetRefused."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except (OSError, UnicodeError):
            raise TargetRefused(f"the name {host} can't be resolved") from None
        addresses = list(dict.fromkeys(found))
        if not addresses:
            raise TargetRefused(f"the name {host} can't be resolved")
        for address in addresses:
            self._require_allowed(host, address)
        return addresses

    def _require_allowed(self, host: str, address: Address) -> None:
        if host.lower().rstrip(".") in self._allowed.hosts or self._is_in_allowed_network(address):
            return
        if not is_public(address):
            raise TargetRefused(
                f"{host} is an address that is not public; the operator of the server can allow it "
                "(DCI_WEBHOOK_ALLOWED_TARGETS)"
            )

    def _is_in_allowed_network(self, address: Address) -> bool:
        return any(address in network for network in self._allowed.networks if network.version == address.version)


def is_public(address: Address) -> bool:
    """Whether this is nobody's private, local or special address, however it is wrapped."""
    inner = _unwrapped(address)
    if isinstance(inner, IPv6Address) and inner not in _GLOBAL_IPV6:
        return False
    return not any(inner in network for network in _NEVER if network.version == inner.version)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that a translator of IPv6 would connect to."""
    if isinstance(address, IPv6Address) and address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _look_up(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # The zone of a link-local address comes with it.
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _literal(host: str) -> list[Address]:
    """The address that the host is when it is no name: in any way of writing it that the resolver understands. Names of
    this very machine count as its address."""
    host = host.lower().rstrip(".")
    if _LOOPBACK_NAME.fullmatch(host):
        return [_LOOPBACK]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


class _BoundedStream(httpcore.AsyncNetworkStream):
    """Reads so much between two requests and no more: interim answers (RFC 9110 §15.2) may go on for ever."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._read = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._read >= _MOST_READ:
            raise httpcore.RemoteProtocolError("the answer does not end")
        read = await self._stream.read(max_bytes, timeout)
        self._read += len(read)
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._read = 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Makes the connections of an HTTP client: name by name, to addresses that were judged."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._network = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._targets.resolve(host, port)
        # Both families are tried when there are both: a host without IPv6 has no way to the first.
        one_of_each = list({address.version: address for address in reversed(addresses)}.values())
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in sorted(one_of_each, key=lambda one: one.version):
            try:
                stream = await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
                return _BoundedStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise TargetRefused("a socket in the file system is no target")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
