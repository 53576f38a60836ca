# SPDX-License-Identifier: Apache-2.0
"""From which address a request comes, behind proxies that say so."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_BITS_OF_A_CUSTOMER = 64


class TrustedProxies:
    """Those whose `X-Forwarded-For` is believed; what others send in it is only what they say."""

    def __init__(self, addresses: Sequence[str] = ()) -> None:
        """Addresses and networks (`10.0.0.0/8`). Raises ValueError."""
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(address) for address in addresses]

    def address_of(self, peer: str, forwarded_for: str | None) -> str:
        """The nearest address that is no trusted proxy. Of IPv6 only the half that a provider gives to one customer."""
        nearest = _read(peer)
        said = (forwarded_for or "").split(",")
        while nearest is not None and said and self._trusts(nearest):
            further = _read(said.pop().strip())
            if further is None:
                break
            nearest = further
        return peer if nearest is None else _customer(nearest)

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(maxsize=4096)
def _read(text: str) -> IPv4Address | IPv6Address | None:
    """With or without a port, as proxies differ."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _customer(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _BITS_OF_A_CUSTOMER), strict=False))
