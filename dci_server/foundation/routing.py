# SPDX-License-Identifier: Apache-2.0
"""Finds what serves a path: at once when the path has no parameters, among the few of its noun otherwise."""

import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from uuid import UUID

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import compile_path

T = TypeVar("T")

_NOUN = 3  # "", "api", "v1", "jobs", …


class _LiberalUuid(Convertor[UUID]):
    """Any spelling a UUID parser takes; anything else makes the route unknown (conventions §1)."""

    regex = r"(?:urn:uuid:)?\{?[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}\}?"

    def convert(self, value: str) -> UUID:
        return UUID(value)

    def to_string(self, value: UUID) -> str:
        return str(value)


class _Tree(Convertor[str]):
    """The rest of the path, of one or more segments; a first segment that is empty makes the route unknown."""

    regex = r"[^/][\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Number(Convertor[int]):
    """Digits, as many as PostgreSQL's bigint surely holds."""

    regex = r"[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", _Number())
register_url_convertor("uuid", _LiberalUuid())
register_url_convertor("tree", _Tree())


class Paths(Generic[T]):
    """Looking through all of them for each request took longer the more routes there were."""

    def __init__(self, served: Mapping[str, T]) -> None:
        self._plain = {path: serving for path, serving in served.items() if "{" not in path}
        self._patterns: dict[str, list[tuple[re.Pattern[str], dict[str, Convertor[Any]], T]]] = {}
        for path, serving in served.items():
            if "{" in path:
                pattern, _, convertors = compile_path(path)
                self._patterns.setdefault(_noun(path), []).append((pattern, convertors, serving))

    def find(self, path: str) -> tuple[T, dict[str, Any]] | None:
        """What serves the path, and the values in it."""
        plain = self._plain.get(path)
        if plain is not None:
            return plain, {}
        for pattern, convertors, serving in self._patterns.get(_noun(path), ()):
            match = pattern.match(path)
            if match is not None:
                return serving, {name: convertors[name].convert(text) for name, text in match.groupdict().items()}
        return None


def _noun(path: str) -> str:
    pieces = path.split("/", _NOUN + 1)
    return pieces[_NOUN] if len(pieces) > _NOUN else ""
