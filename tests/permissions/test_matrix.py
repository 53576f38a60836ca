# SPDX-License-Identifier: Apache-2.0
"""Every route, called by every kind of caller on every kind of target: thousands of cells.

Each is compared with the rule that the route declares (`who=`), worked out here for that caller and target, and with
`matrix.txt`, which people review. Refused calls must have written nothing, and reads neither. No answer may hold a
secret, but the four that show a new one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest

from dci_server.foundation.http import Route
from tests.permissions import golden
from tests.permissions.calls import ROUTES, build_request
from tests.permissions.conftest import Matrix
from tests.permissions.rows import ROWS
from tests.permissions.scene import CALLERS, Caller
from tests.permissions.table import Row, Target

ROWS_OF_ROUTES = [row for row in ROWS if row.route in ROUTES]


@dataclass(frozen=True)
class Cell:
    """What one caller was answered for one target."""

    status: int
    seen: int | None
    """How many things, for a list."""
    written: set[str]
    leaks: list[str]

    def __str__(self) -> str:
        return f"{self.status}" if self.seen is None else f"{self.status}/{self.seen}"


def test_every_route_has_a_row() -> None:
    missing = sorted(set(ROUTES) - {row.route for row in ROWS})

    assert not missing, (
        f"{missing} have no row in the permission matrix. Say in the tests/permissions/rows_of_*.py that fits how a valid "
        "request looks on each target, and whose the target is; run `pytest tests/permissions --rewrite-matrix`; review "
        "what that did to tests/permissions/matrix.txt."
    )


def test_every_row_has_a_route() -> None:
    assert sorted({row.route for row in ROWS} - set(ROUTES)) == []


def test_the_golden_file_has_no_other_routes() -> None:
    assert sorted(golden.read().keys() - set(ROUTES)) == []


def test_no_route_is_called_twice() -> None:
    routes = [row.route for row in ROWS]

    assert sorted({route for route in routes if routes.count(route) > 1}) == []


@pytest.mark.parametrize("row", ROWS_OF_ROUTES, ids=lambda row: row.route)
async def test_who_may(row: Row, matrix: Matrix, request: pytest.FixtureRequest) -> None:
    rewriting = bool(request.config.getoption("--rewrite-matrix"))
    if rewriting and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("one process can write matrix.txt: leave -n out", pytrace=False)
    wrong: list[str] = []
    block: dict[str, list[str]] = {}
    for target in row.targets:
        block[target.name] = []
        for caller in CALLERS:
            cell = await _call(matrix, row, target, caller)
            block[target.name].append(str(cell))
            wrong += [f"{target.name}, {caller.name}: {fault}" for fault in _faults(matrix, row, target, caller, cell)]

    if rewriting:
        golden.write(
            {**golden.read(), row.route: block}, [caller.name for caller in CALLERS], [row.route for row in ROWS]
        )
    wrong += _differences(golden.read().get(row.route, {}), block)
    if wrong:
        pytest.fail("\n".join([row.route, *wrong]), pytrace=False)


async def test_head_is_a_get_without_the_body(matrix: Matrix) -> None:
    wrong: list[str] = []
    admin = CALLERS[0]
    for row in ROWS_OF_ROUTES:
        for target in row.targets if row.route.startswith("GET ") else ():
            request = await build_request(matrix, row, target, admin)
            async with matrix.db.undoing():
                got = await matrix.clients[admin.name].send(request)
                head = await matrix.clients[admin.name].head(request.url)
            if head.content or _what_head_tells(head) != _what_head_tells(got):
                wrong.append(f"{row.route}, {target.name}: {_what_head_tells(head)}, but GET {_what_head_tells(got)}")

    assert wrong == []


def _what_head_tells(response: httpx.Response) -> list[object]:
    # The metrics are longer after each request.
    names = (
        ["content-type", "etag"]
        if response.request.url.path == "/metrics"
        else ["content-type", "etag", "content-length"]
    )
    return [response.status_code, *(response.headers.get(name) for name in names)]


async def _call(matrix: Matrix, row: Row, target: Target, caller: Caller) -> Cell:
    async with matrix.db.undoing():
        response = await matrix.clients[caller.name].send(await build_request(matrix, row, target, caller))
        leaks = matrix.secrets.faults(row.route, response)
        # In the audits is what the other cells did.
        seen = None if row.route == "GET /audits" else _seen(response)
        return Cell(response.status_code, seen, await matrix.db.changed(), leaks)


def _seen(response: httpx.Response) -> int | None:
    if not response.headers.get("content-type", "").startswith("application/json") or not response.content:
        return None
    answer = cast(object, response.json())
    if not isinstance(answer, dict):
        return None
    count: Any = cast(dict[str, Any], answer).get("_meta", {}).get("count")
    return count


def _faults(matrix: Matrix, row: Row, target: Target, caller: Caller, cell: Cell) -> list[str]:
    """What is wrong with a cell, whatever the golden file says."""
    route = ROUTES[row.route]
    expected = _expected(matrix, route, target, caller)
    faults = [] if cell.status in expected else [f"{cell} is not {' or '.join(map(str, sorted(expected)))}"]
    is_refused = not 200 <= cell.status < 400
    if cell.written and (is_refused or route.method == "GET"):
        faults.append(f"{cell}, but wrote to {', '.join(sorted(cell.written))}")
    return faults + cell.leaks


def _expected(matrix: Matrix, route: Route, target: Target, caller: Caller) -> set[int]:
    """The statuses that the declared rule leaves possible."""
    identity = matrix.scene.identity_of(caller)
    if identity is None:
        return set(route.answers or {200: None}) if route.public else {401}
    refusal = target.refused(matrix.scene, identity) if target.refused else 404 if route.who.hides else 401
    is_allowed = route.who.allows(identity, target.own(matrix.scene, identity, route.who)) and target.also(identity)
    if target.told is None:
        return set(route.answers or {200: None}) if is_allowed else {refusal}
    # Which is looked at first, whether it is there or whether the caller may, the golden file says.
    return {target.told} if is_allowed else {target.told, refusal}


def _differences(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    found = [f"{target}: is in matrix.txt, but not in the table" for target in before.keys() - now.keys()]
    for target, answers in now.items():
        expected = before.get(target)
        if expected is None:
            found.append(f"{target}: is not in matrix.txt")
            continue
        found += [
            f"{target}, {caller.name}: {answer}, but {reviewed} in matrix.txt"
            for caller, answer, reviewed in zip(CALLERS, answers, expected, strict=True)
            if answer != reviewed
        ]
    return found
