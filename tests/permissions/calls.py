# SPDX-License-Identifier: Apache-2.0
"""How a valid request for a row of the table looks."""

from typing import Any, cast

import httpx

from dci_server.app import all_routes
from tests.permissions.conftest import Matrix
from tests.permissions.scene import Caller
from tests.permissions.table import Row, Target, name_of, path_of

ROUTES = {name_of(route): route for route in all_routes()}


async def build_request(
    matrix: Matrix, row: Row, target: Target, caller: Caller, *, more: dict[str, object] | None = None
) -> httpx.Request:
    """`more` is added to a JSON body."""
    route, scene = ROUTES[row.route], matrix.scene
    url = path_of(route)
    for parameter, name in target.path.items():
        url = url.replace(f"{{{parameter}}}", scene.value(name))
    headers = {name: scene.value(value) for name, value in target.headers.items()}
    if row.etag is not None:
        table, of = row.etag
        headers["If-match"] = await _etag(matrix, table, scene.own_id(caller) if of == "caller" else target.path[of])
    content: Any = target.body(scene) if target.body else b""
    if more is not None:
        content = {**(cast("dict[str, object]", content) if isinstance(content, dict) else {}), **more}
    client = matrix.clients[caller.name]
    if isinstance(content, bytes):
        return client.build_request(route.method, url, headers=headers, content=content)
    headers["Content-Type"] = "application/json"
    return client.build_request(route.method, url, headers=headers, json=content)


async def _etag(matrix: Matrix, table: str, name: str) -> str:
    found = await matrix.db.fetchval(f"select etag from {table} where id = $1", matrix.scene.value(name))
    return found or "0" * 32
