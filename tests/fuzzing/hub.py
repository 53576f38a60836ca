# SPDX-License-Identifier: Apache-2.0
"""One application that many runs of a state machine call as anybody, and that is emptied between two of them."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from dci_server.foundation.http import Application
from tests.conftest import World, assembled, proof_of
from tests.signing import SignedBy
from tests.waiting import PATIENCE


class Hub:
    def __init__(
        self,
        runner: asyncio.Runner,
        application: Application,
        connection: "asyncpg.Connection[asyncpg.Record]",
        cast: World,
    ) -> None:
        self._runner = runner
        self._connection = connection
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._application = application
        self.cast = cast

    def call(self, who: str, method: str, path: str, body: object = None, etag: str = "") -> httpx.Response:
        """As one of the cast, or as a remoteci that was enrolled."""
        if who not in self._clients:
            proof = proof_of(self.cast, who)
            self.enrol(who, httpx.BasicAuth(*proof) if isinstance(proof, tuple) else proof)
        headers = {"If-match": etag} if etag else {}
        request = self._clients[who].request(method, path, json=body, headers=headers)
        return self._runner.run(request)

    def enrol(self, who: str, auth: httpx.Auth | SignedBy | None) -> None:
        self._clients[who] = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._application),  # pyright: ignore[reportArgumentType] # our scope type is Starlette's
            base_url="http://dci.test/api/v1",
            auth=auth,
        )

    def made(self, who: str, path: str, body: object, noun: str) -> dict[str, Any]:
        """What was created, which must succeed."""
        answer = self.call(who, "POST", path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()[noun]

    def ids(self, who: str, path: str, noun: str) -> set[str]:
        """Of a list, whose count must be that of its rows."""
        answer = self.call(who, "GET", path if path.endswith("/purge") else f"{path}?limit=200&offset=0")
        assert answer.status_code == 200, answer.text
        found = [row["id"] for row in answer.json()[noun]]
        assert answer.json()["_meta"]["count"] == len(found) == len(set(found))
        return set(found)

    def settle(self, who: str, teams: set[str]) -> None:
        """Until what the server remembers of the caller's teams is what they are: it is told a moment after a change."""
        seen: set[str] = set()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            seen = set(self.call(who, "GET", "/identity").json()["identity"]["teams"])
            if seen == teams:
                return
            self._runner.run(asyncio.sleep(0.005))
        raise AssertionError(f"{who} is still of {seen}, and should be of {teams}")

    def empty(self, *statements: str) -> None:
        """Nothing of an earlier run is left."""
        for statement in statements:
            self._runner.run(self._connection.execute(statement))


@contextmanager
def running(database_url: str, key: str, directory: Path, cast: World) -> Generator[Hub]:
    application = assembled(database_url, key, directory)
    with asyncio.Runner() as runner:
        lifespan = application.lifespan(application)
        runner.run(lifespan.__aenter__())
        connection: asyncpg.Connection[asyncpg.Record] = runner.run(asyncpg.connect(database_url))
        try:
            yield Hub(runner, application, connection, cast)
        finally:
            runner.run(connection.close())
            runner.run(lifespan.__aexit__(None, None, None))
