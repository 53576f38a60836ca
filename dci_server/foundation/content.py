# SPDX-License-Identifier: Apache-2.0
"""Files of some kinds are read when they arrive. Who reads which kind is said where the server is assembled."""

from collections.abc import AsyncIterator
from typing import Any, Protocol
from uuid import UUID

from dci_server.foundation.database.connection import Connection


class Unreadable(Exception):
    """The content is not of the kind it claims to be; the message names line and column."""


class ContentReader(Protocol):
    async def read(self, chunks: AsyncIterator[bytes]) -> Any:
        """What the content says. Raises Unreadable."""
        ...

    async def store(self, db: Connection, file_id: UUID, findings: Any) -> None:
        """Keeps it, in the transaction that makes the file visible."""
        ...
