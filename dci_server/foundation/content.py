# SPDX-License-Identifier: Apache-2.0
"""Files of some kinds are read when they arrive. Who reads which kind is said where the server is assembled."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from dci_server.foundation.database.connection import Connection
from dci_server.foundation.database.sql import Condition


class Unreadable(Exception):
    """The content is not of the kind it claims to be; the message names line and column."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The job that a file is going to hang on, if it is there and `changeable`."""

    name: str
    job_id: UUID | None
    jobstate_id: UUID | None
    changeable: Condition


class ContentReader(Protocol):
    async def read(self, db: Connection, destination: Destination, chunks: AsyncIterator[bytes]) -> Any:
        """What the content says. Raises Unreadable."""
        ...

    async def store(self, db: Connection, file_id: UUID, findings: Any) -> None:
        """Keeps it, in the transaction that makes the file visible."""
        ...

    async def outline(self, content: bytes) -> bytes:
        """A digest of all of it but for what may be changed later. Raises Unreadable."""
        ...

    async def replace(self, db: Connection, file_id: UUID, findings: Any) -> None:
        """Keeps it in place of what the file said before, in the transaction that changes the file."""
        ...

    async def give_up(self, db: Connection, findings: Any) -> None:
        """The file did not become visible. Does nothing when it did."""
        ...
