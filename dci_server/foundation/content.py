# SPDX-License-Identifier: Apache-2.0
"""Files of some kinds are read while they arrive. Who reads which kind is said where the server is assembled."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from dci_server.foundation.database.connection import Connection
from dci_server.foundation.database.sql import Condition
from dci_server.foundation.storage import Store


class Unreadable(Exception):
    """The content is not of the kind it claims to be; the message names line and column."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The job that a file is going to hang on, if it is there and `changeable`."""

    name: str
    job_id: UUID | None
    jobstate_id: UUID | None
    changeable: Condition
    since: datetime | None = None
    """When a file came that gets new content: what it says stays as old."""


class Reading(Protocol):
    """Of one upload. Nothing of it reaches the database before `finish`, which is for a sender who is proven."""

    async def take(self, piece: bytes) -> None:
        """The next piece, while the rest arrives. It may be left for later."""
        ...

    async def finish(
        self, db: Connection, destination: Destination, rest: Callable[[int], AsyncIterator[bytes]]
    ) -> Any:
        """What the content says; `rest` gives its bytes from a place on. Raises Unreadable."""
        ...

    async def close(self) -> None:
        """Whatever became of it. What it has set aside goes."""
        ...


class ContentReader(Protocol):
    def begin(self, store: Store, *, is_proven: bool) -> Reading:
        """`is_proven` says whether it is known who sends."""
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
