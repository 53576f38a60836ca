# SPDX-License-Identifier: Apache-2.0
"""What holds for every address that is served, whatever it does."""

import re
from uuid import uuid4

import httpx
import pytest

from dci_server.app import all_routes
from dci_server.foundation.http import Route
from tests.conftest import ClientOf

_EVERYWHERE = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Authorization, Content-Type, If-Match, ETag, X-Requested-With, X-Dci-Team-Id",
}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": _EVERYWHERE["access-control-expose-headers"],
    "access-control-max-age": "86400",
}
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")


def _url(path: str) -> str:
    """The address with an id for each parameter; nothing has that id."""
    path = re.sub(r"\{\w+:number\}", "7", path)
    return "http://dci.test" + re.sub(r"\{\w+:uuid\}", str(uuid4()), path).replace("{path:path}", "a/b.txt")


def _allowed(path: str) -> set[str]:
    methods = {route.method for route in all_routes() if route.full_path == path}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def _lacks(response: httpx.Response, headers: dict[str, str]) -> list[str]:
    """What an address adds to a list, those of uploads do, comes after it."""
    return [name for name, value in headers.items() if not response.headers.get(name, "").startswith(value)]


PATHS = sorted({route.full_path for route in all_routes()})


@pytest.fixture
def paths() -> list[str]:
    return PATHS


async def test_options_needs_no_identity_and_names_the_methods(client_of: ClientOf, paths: list[str]) -> None:
    stranger = client_of("stranger")
    wrong: list[str] = []

    for path in paths:
        response = await stranger.options(_url(path))
        if response.status_code != 200 or response.content:
            wrong.append(f"{path}: {response.status_code} {response.text}")
        if set(response.headers["allow"].split(", ")) != _allowed(path):
            wrong.append(f"{path}: Allow is {response.headers['allow']}, not {sorted(_allowed(path))}")
        wrong += [f"{path}: {name}" for name in _lacks(response, _EVERYWHERE | _PREFLIGHT)]

    assert wrong == []


@pytest.mark.parametrize("who", ["stranger", "alice"])
async def test_any_site_may_read_every_answer(client_of: ClientOf, paths: list[str], who: str) -> None:
    """Refusals, unknown ids, missing bodies: the headers are there, and the body is JSON that says its status."""
    client = client_of(who)
    wrong: list[str] = []

    for path in paths:
        for method in _METHODS:
            response = await client.request(method, _url(path))
            wrong += [f"{method} {path}: {response.status_code} lacks {name}" for name in _lacks(response, _EVERYWHERE)]
            if response.status_code >= 500:
                wrong.append(f"{method} {path}: {response.status_code}")
            if (
                response.status_code >= 400
                and method != "HEAD"
                and response.json()["status_code"] != response.status_code
            ):
                wrong.append(f"{method} {path}: {response.text}")

    assert wrong == []


async def test_other_methods_are_refused_with_those_that_are_possible(client_of: ClientOf, paths: list[str]) -> None:
    stranger = client_of("stranger")
    wrong: list[str] = []

    for path in paths:
        for method in set(_METHODS) - _allowed(path):
            response = await stranger.request(method, _url(path))
            if response.status_code != 405 or set(response.headers.get("allow", "").split(", ")) != _allowed(path):
                wrong.append(f"{method} {path}: {response.status_code}, Allow: {response.headers.get('allow')}")

    assert wrong == []


async def test_head_needs_the_identity_that_get_needs(client_of: ClientOf) -> None:
    stranger = client_of("stranger")
    wrong: list[str] = []

    for route in _reads():
        got, head = await stranger.get(_url(route.full_path)), await stranger.head(_url(route.full_path))
        if head.status_code != got.status_code or head.content:
            wrong.append(f"{route.full_path}: HEAD {head.status_code}, GET {got.status_code}")

    assert wrong == []


def _reads() -> list[Route]:
    return [route for route in all_routes() if route.method == "GET"]


async def test_an_unknown_address_is_not_found_by_any_method(client_of: ClientOf) -> None:
    stranger = client_of("stranger")

    for method in (*_METHODS, "OPTIONS"):
        response = await stranger.request(method, "http://dci.test/api/v1/nothing")

        assert response.status_code == 404
        assert _lacks(response, _EVERYWHERE) == []
