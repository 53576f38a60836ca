# SPDX-License-Identifier: Apache-2.0
"""Where the server connects, and where it does not, when a user names the address."""

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import httpcore
import pytest

from dci_server.foundation.errors import ApiError
from dci_server.foundation.outgoing.posting import MOST_READ, Poster
from dci_server.foundation.outgoing.targets import (
    Allowed,
    CheckedNetwork,
    TargetRefused,
    Targets,
    is_public,
    read_url,
)
from tests.certificates import make_certificate, server_context
from tests.receiver import Received, answering, receiving
from tests.server_process import closed_port
from tests.waiting import PATIENCE


@pytest.fixture
async def targets() -> AsyncIterator[Targets]:
    made = Targets()
    yield made
    made.close()


@pytest.fixture
async def poster(targets: Targets) -> AsyncIterator[Poster]:
    made = Poster(targets, timeout=PATIENCE)
    yield made
    await made.close()


@pytest.fixture
async def local_poster() -> AsyncIterator[Poster]:
    """Loopback is allowed, as an operator would allow it."""
    targets = Targets(Allowed.of(["127.0.0.0/8"]))
    made = Poster(targets, timeout=PATIENCE)
    yield made
    await made.close()
    targets.close()


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "127.0.0.1", "127.1", "127.000.000.001", "2130706433", "0x7f000001", "0x7f.1", "017700000001",
        "0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[fe80::1]",
        "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::1]", "[2001:db8::1]",
        "localhost", "LOCALHOST",
    ],
)  # fmt: skip
async def test_private_and_special_targets_are_refused_however_they_are_written(poster: Poster, host: str) -> None:
    async with receiving() as receiver:
        outcome = await poster.post(f"http://{host}:{receiver.port}/", b"{}", {})

    assert outcome.status is None
    assert "is an address that is not public" in (outcome.error or "")
    assert receiver.received == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "169.254.169.254", "127.0.0.1.", "2130706433.", "127.1.",
        "localhost", "localhost.", "LOCALHOST", "LocalHost.", "ci.localhost", "ci.localhost.", "localhost.localdomain",
        "localhost.localdomain.", "localhost4", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
    ],
)  # fmt: skip
def test_what_is_no_name_of_others_is_refused_without_asking_anybody(targets: Targets, host: str) -> None:
    with pytest.raises(TargetRefused, match="not public"):
        targets.require_acceptable(read_url(f"https://{host}/"))


@pytest.mark.parametrize("host", ["localhost.example.org", "notlocalhost", "ci.example.org.", "ci.localdomain"])
def test_what_only_looks_like_loopback_is_a_name_like_any_other(targets: Targets, host: str) -> None:
    targets.require_acceptable(read_url(f"https://{host}/"))


@pytest.mark.parametrize("words", [["localhost"], ["127.0.0.0/8"]])
def test_loopback_that_the_operator_allows_is_accepted(words: list[str]) -> None:
    targets = Targets(Allowed.of(words))
    targets.require_acceptable(read_url("http://localhost.:8080/"))
    targets.close()


@pytest.mark.parametrize("text", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))


async def test_a_redirect_to_loopback_is_not_followed(local_poster: Poster) -> None:
    async with receiving() as inner, receiving(lambda _: answering(302, b"go there", Location=inner.url)) as outer:
        outcome = await local_poster.post(outer.url, b"{}", {})

    assert (outcome.status, outcome.is_success, outcome.answer) == (302, False, "go there")
    assert inner.received == []


async def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means something public when it is judged, and loopback when it is asked for again."""
    asked: list[str] = []
    connected: list[str] = []

    def rebinding(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def refuse(host: str, *_: object, **__: object) -> None:
        connected.append(host)
        raise httpcore.ConnectError

    targets = Targets()
    network = CheckedNetwork(targets)
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(network._network, "connect_tcp", refuse)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(httpcore.ConnectError):
        await network.connect_tcp("rebinding.example.org", 443)
    monkeypatch.undo()
    targets.close()

    assert asked == ["rebinding.example.org"]
    assert connected == ["93.184.216.34"]


async def test_a_name_with_one_private_address_among_public_ones_is_refused(
    targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mixed(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", mixed)
    with pytest.raises(TargetRefused):
        await targets.resolve("mixed.example.org", 80)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("words", "host", "is_allowed"),
    [
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["127.0.0.0/8"], "10.0.0.1", False),
        (["localhost"], "localhost", True),
        (["localhost"], "127.0.0.1", False),
        (["10.0.0.0/8", "::1"], "::1", True),
    ],
)
async def test_the_operator_allows_networks_and_names(words: list[str], host: str, is_allowed: bool) -> None:
    targets = Targets(Allowed.of(words))
    try:
        if is_allowed:
            assert await targets.resolve(host, 80)
        else:
            with pytest.raises(TargetRefused):
                await targets.resolve(host, 80)
    finally:
        targets.close()


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a.org/", "file:///etc/passwd", "//a.org", "a.org", "http://", "http:///x", "http://user:secret@a.org/",
        "http://a.org\\@127.0.0.1/", "http://a.org:99999/", "http://a.org:0/", "http://a.org:x/", "http://a b.org/",
        "http://a.org/\r\nHost: b", "http://ex\u00e4mple.org/", "http://\uff11\uff12\uff17.0.0.1/", "http://a.org/\u2028",
        "http://[::1", "http://[fe80::1%25eth0]/", "http://a.org/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    with pytest.raises(ApiError):
        read_url(text)


@pytest.mark.parametrize(
    ("text", "authority", "target"),
    [
        ("https://a.org", "a.org", "/"),
        ("HTTPS://A.org:8443/b/c?d=e%20f#g", "a.org:8443", "/b/c?d=e%20f"),
        ("http://[2606:4700::1]:80/x", "[2606:4700::1]", "/x"),
    ],
)
def test_an_address_is_taken_apart_once(text: str, authority: str, target: str) -> None:
    url = read_url(text)

    assert (url.authority, url.target) == (authority, target)


async def test_no_more_than_64_kib_of_an_answer_are_read(local_poster: Poster) -> None:
    endless = b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 64
    async with receiving(lambda _: endless) as receiver:
        outcome = await local_poster.post(receiver.url, b"{}", {})

    assert outcome.is_success
    assert outcome.answer == "x" * 1000
    assert MOST_READ == 65536


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, "no answer within 0.5 s"),
        (b"SSH-2.0-x\r\n\r\n", "what answered does not speak HTTP, or broke off"),
        (b"HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nhalf", "no answer within 0.5 s"),
    ],
)
async def test_whoever_answers_badly_is_left_alone_soon(answer: bytes | None, error: str) -> None:
    def bad(_request: Received) -> bytes | None:
        return answer

    targets = Targets(Allowed.of(["127.0.0.0/8"]))
    async with receiving(bad) as receiver:
        hurried = Poster(targets, timeout=PATIENCE if answer and b"SSH" in answer else 0.5)
        outcome = await hurried.post(receiver.url, b"{}", {})
    await hurried.close()
    targets.close()

    assert (outcome.status, outcome.error) == (None, error)


async def test_nobody_there_and_no_such_name_are_told(local_poster: Poster) -> None:
    nobody = await local_poster.post(f"http://127.0.0.1:{closed_port()}/", b"{}", {})
    unknown = await local_poster.post("http://no-such-name.invalid/", b"{}", {})

    assert nobody.error == "nobody accepts connections there"
    assert unknown.error == "the name no-such-name.invalid can't be resolved"


async def test_a_certificate_must_be_for_the_name_in_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    targets = Targets(Allowed.of(["127.0.0.0/8", "localhost", "localhost.localdomain"]))
    trusting = Poster(targets, timeout=PATIENCE)
    monkeypatch.undo()
    wary = Poster(targets, timeout=PATIENCE)

    async with receiving(tls=server_context(certificate)) as receiver:
        named = await trusting.post(f"https://localhost:{receiver.port}/hook", b"{}", {"A": "b"})
        untrusted = await wary.post(receiver.url, b"{}", {})
    for poster in (trusting, wary):
        await poster.close()
    targets.close()

    assert named.is_success
    assert receiver.received[0].headers["host"] == f"localhost:{receiver.port}"
    assert untrusted.error == "the TLS connection failed: is the certificate valid, and for this name?"
