# SPDX-License-Identifier: Apache-2.0
"""Every route is documented, and what is documented is true of the structs."""

import re
from typing import Any

import msgspec
import pytest

from dci_server.app import all_routes, openapi_document
from dci_server.foundation.http import Route
from dci_server.foundation.validation import read_body

_ASSETS = "/docs/"
# To OpenAPI the same path as `…/files/{file_id}`, which speaks of it.
_TREE = "/api/v1/components/{component_id:uuid}/files/{path:tree}"
DOCUMENTED = [route for route in all_routes() if not route.path.startswith(_ASSETS) and route.full_path != _TREE]
DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(openapi_document()))


def _operation(route: Route) -> dict[str, Any]:
    path = re.sub(r":\w+(?=})", "", route.full_path)
    return DOCUMENT["paths"][path][route.method.lower()]


def _name(route: Route) -> str:
    return f"{route.method} {route.full_path}"


def _contents(operation: dict[str, Any]) -> list[dict[str, Any]]:
    answers = operation["responses"].values()
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    return [
        each["content"]["application/json"]
        for each in (*answers, *bodies)
        if "application/json" in each.get("content", {})
    ]


@pytest.mark.parametrize("route", DOCUMENTED, ids=_name)
def test_every_route_is_documented(route: Route) -> None:
    operation = _operation(route)

    assert operation["summary"].endswith(".")
    assert operation["description"].startswith("Who: ")
    assert any(status.startswith(("2", "3")) for status in operation["responses"])
    assert route.public or {"400", "401", "503"} <= set(operation["responses"])
    assert bool(operation["security"]) != route.public


@pytest.mark.parametrize("route", DOCUMENTED, ids=_name)
def test_everything_said_in_json_has_an_example(route: Route) -> None:
    contents = _contents(_operation(route))

    assert contents or None in route.answers.values()
    assert all("example" in content or not content["schema"] for content in contents)


@pytest.mark.parametrize("route", [route for route in DOCUMENTED if route.body], ids=_name)
def test_the_example_of_a_body_is_accepted(route: Route) -> None:
    content = _operation(route)["requestBody"]["content"]["application/json"]
    assert route.body is not None

    read_body(msgspec.json.encode(content["example"]), route.body, closed=route.closed)


@pytest.mark.parametrize("route", DOCUMENTED, ids=_name)
def test_the_example_of_an_answer_has_its_shape(route: Route) -> None:
    for status, shape in route.answers.items():
        if shape is not None:
            example = _operation(route)["responses"][str(status)]["content"]["application/json"]["example"]
            msgspec.json.decode(msgspec.json.encode(example), type=shape)


def test_the_elements_of_lists_in_bodies_are_said() -> None:
    """Of what optional kinds of components are, anything is kept."""
    untold = [
        f"{name}.{key}"
        for name in {route.body.__name__ for route in DOCUMENTED if route.body}
        for key, schema in DOCUMENT["components"]["schemas"][name]["properties"].items()
        if schema.get("type") == "array" and "items" not in schema
    ]

    assert sorted(untold) == ["ChangedTopic.component_types_optional", "NewTopic.component_types_optional"]
