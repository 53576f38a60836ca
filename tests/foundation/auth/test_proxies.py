# SPDX-License-Identifier: Apache-2.0
import pytest

from dci_server.foundation.auth.proxies import TrustedProxies

BEHIND = TrustedProxies(["10.0.0.0/8", "2001:db8::1", "::1"])


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("192.0.2.7", "198.51.100.9", "192.0.2.7"),
        ("10.1.2.3", None, "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.9", "198.51.100.9"),
        ("10.1.2.3", "203.0.113.1, 198.51.100.9", "198.51.100.9"),
        ("10.1.2.3", "203.0.113.1, 198.51.100.9,10.9.9.9", "198.51.100.9"),
        ("10.1.2.3", "10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", "203.0.113.1, nonsense", "10.1.2.3"),
        ("10.1.2.3", "nonsense, 198.51.100.9:4711", "198.51.100.9"),
        ("::1", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", None, "192.0.2.7"),
        ("", "198.51.100.9", ""),
        ("/run/socket", "198.51.100.9", "/run/socket"),
    ],
)
def test_only_what_a_trusted_proxy_says_of_its_peer_counts(peer: str, said: str | None, address: str) -> None:
    assert BEHIND.address_of(peer, said) == address
