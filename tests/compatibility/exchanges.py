# SPDX-License-Identifier: Apache-2.0
"""Exchanges as clients have them: what is sent, which status they branch on, which fields they break without."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Exchange:
    """`needs` are paths like `jobs[0].components[].id`; `keeps` names values of the answer for later exchanges."""

    method: str
    path: str
    status: int
    body: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Sequence[str] = ()
    keeps: Mapping[str, str] = field(default_factory=dict[str, str])
    is_: Mapping[str, object] = field(default_factory=dict[str, object])


async def play(client: httpx.AsyncClient, exchanges: Sequence[Exchange], **known: str) -> dict[str, str]:
    """One after the other; what was kept."""
    for exchange in exchanges:
        response = await client.request(
            exchange.method,
            _filled(exchange.path, known),
            json=_filled(exchange.body, known) if exchange.body is not None else None,
            content=exchange.content,
            headers={name: _filled(value, known) for name, value in exchange.headers.items()},
        )
        told = f"{exchange.method} {response.request.url}: {response.status_code} {response.text[:500]}"
        assert response.status_code == exchange.status, told
        for path in exchange.needs:
            assert found(response.json(), path), f"{path} is missing in {told}"
        for path, value in exchange.is_.items():
            assert found(response.json(), path) == [_filled(value, known)], f"{path} in {told}"
        for name, path in exchange.keeps.items():
            known[name] = str(found(response.json(), path)[0])
    return known


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda place: known.get(place[1], place[0]), value)
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_filled(each, known) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def found(document: Any, path: str) -> list[Any]:
    """Every value at the path; empty when some part of it is missing."""
    values = [document]
    for part in path.split("."):
        name, bracket, index = part.partition("[")
        if not all(isinstance(value, dict) and name in value for value in values):
            return []
        values = [value[name] for value in values]
        if bracket:
            chosen = index.rstrip("]")
            values = [
                each for value in values for each in (value if not chosen else value[int(chosen) : int(chosen) + 1])
            ]
    return values
