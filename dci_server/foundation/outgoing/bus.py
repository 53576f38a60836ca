# SPDX-License-Identifier: Apache-2.0
"""The message bus that messages are published on, as it is configured."""

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from dci_server.foundation.outgoing.amqp import BusConnection

_URL = re.compile(r"amqps?://[^\s?#]+")


@dataclass(frozen=True, slots=True)
class MessageBus:
    """With `declares`, exchange, queue and what binds them are made when they are not there."""

    url: str = field(repr=False)
    exchange: str
    routing_key: str
    queue: str
    declares: bool
    ca_file: str | None

    @property
    def place(self) -> str:
        """Without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def connection(self) -> "BusConnection":
        # Imported when it is needed: most servers have no bus, and not what speaks to it.
        from dci_server.foundation.outgoing.amqp import BusConnection

        return BusConnection(self)


def is_bus_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return _URL.fullmatch(text) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def can_speak_to_a_bus() -> bool:
    return find_spec("aiormq") is not None
