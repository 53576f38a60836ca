# SPDX-License-Identifier: Apache-2.0
"""Whether the server lives, whether it can work, and what it has done."""

import asyncio

import asyncpg
import msgspec

from dci_server.foundation import metrics
from dci_server.foundation.auth.rules import NOBODY_NEEDED
from dci_server.foundation.database.connection import DATABASE_ERRORS, fetch_value
from dci_server.foundation.database.migrate import newest_revision
from dci_server.foundation.errors import ApiError
from dci_server.foundation.http import Response, Route, Services, encode

_PATIENCE_SECONDS = 5


class Index(msgspec.Struct):
    status: str = msgspec.field(name="_status")
    message: str


class IndexOfV2(Index):
    version: str


class Alive(msgspec.Struct):
    status: str


class Readiness(msgspec.Struct):
    status: str
    checks: dict[str, str]


async def index(services: Services) -> Response:  # noqa: ARG001
    """Whether anything answers here; needs no identity."""
    return encode(Index("OK", "Distributed CI."))


async def index_of_v2(services: Services) -> Response:  # noqa: ARG001
    """Whether anything answers here; needs no identity."""
    return encode(IndexOfV2("OK", "Distributed CI.", "2"))


async def healthz(services: Services) -> Response:  # noqa: ARG001
    """The process answers."""
    return encode(Alive("ok"))


async def readyz(services: Services) -> Response:
    """Database, schema and store can be used; 503 names what can't."""
    checks = {"database": await _database(services), "migrations": "unknown", "store": await _store(services)}
    if checks["database"] == "ok":
        checks["migrations"] = await _migrations(services)
    ready = all(check == "ok" for check in checks.values())
    return encode(Readiness("ready" if ready else "not ready", checks), status=200 if ready else 503)


async def prometheus(services: Services) -> Response:
    """Metrics in the Prometheus text format."""
    return Response(200, services.metrics.render(), media_type=metrics.CONTENT_TYPE)


async def _database(services: Services) -> str:
    try:
        await asyncio.wait_for(fetch_value(services.db, "select 1"), _PATIENCE_SECONDS)
    except DATABASE_ERRORS:
        return "does not answer; check DATABASE_URL and the database's log"
    return "ok"


async def _migrations(services: Services) -> str:
    try:
        current = await fetch_value(services.db, "select version_num from alembic_version")
    except asyncpg.PostgresError:
        current = None
    # A newer one is that of a newer server, which takes over from this one: until it has, this one goes on.
    is_new_enough = current is not None and current >= newest_revision()
    return "ok" if is_new_enough else "the schema is older than this server; run: dci-server migrate"


async def _store(services: Services) -> str:
    try:
        await asyncio.wait_for(services.store.check(), _PATIENCE_SECONDS)
    except ApiError as error:
        return error.message
    except TimeoutError:
        return "does not answer; check DCI_STORE_URL"
    return "ok"


routes = [
    Route("GET", "", index, NOBODY_NEEDED, answers={200: Index}, public=True),
    Route("GET", "", index_of_v2, NOBODY_NEEDED, answers={200: IndexOfV2}, public=True, prefix="/api/v2"),
    Route("GET", "/healthz", healthz, NOBODY_NEEDED, answers={200: Alive}, public=True, prefix=""),
    Route("GET", "/readyz", readyz, NOBODY_NEEDED, answers={200: Readiness}, public=True, prefix=""),
    Route(
        "GET", "/metrics", prometheus, NOBODY_NEEDED, answers={200: None}, public=True, prefix="", produces="text/plain"
    ),
]
