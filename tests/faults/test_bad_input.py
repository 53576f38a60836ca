# SPDX-License-Identifier: Apache-2.0
"""What nobody should send, sent to every call that takes it: refused with a 4xx that says what to do, never a 5xx."""

import json
import re
from uuid import uuid4

import httpx
import pytest

from dci_server.app import all_routes
from dci_server.foundation.http import Route
from tests.conftest import ClientOf, World

LISTS = sorted({route.path for route in all_routes() if route.listing is not None and "{" not in route.path})
WRITES = [route for route in all_routes() if route.body is not None]
SECRETS = ("api_secret", "password", "password_hash", "sealed_secret", "data")

BODIES = {
    "empty": (b"", "Malformed JSON: the body is empty"),
    "blank": (b" \n", "Malformed JSON: the body is empty"),
    "unfinished": (b'{"name": "x"', "Malformed JSON: it ends too early"),
    "not JSON": (b"name=x", "Malformed JSON"),
    "two documents": (b"{} {}", "Malformed JSON"),
    "not UTF-8": (b'{"name": "\xff"}', "Malformed JSON"),
    "NUL": (b'{"name": "a\\u0000b", "x": 1}', "NUL"),
    "half a surrogate pair": (b'{"name": "\\ud800"}', "surrogate"),
    "deep lists": (b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "100 levels"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "100 levels"),
    "null": (b"null", "Request malformed"),
    "a list": (b"[]", "Request malformed"),
    "a text": (b'"x"', "Request malformed"),
    "a number": (b"1e400", ""),
}


def address(path: str) -> str:
    return re.sub(r"\{\w+:uuid\}", str(uuid4()), path).replace("{path:path}", "a/b.txt")


def wrong_refusal(response: httpx.Response, statuses: set[int]) -> str | None:
    """None for a refusal in the contract's shape that quotes no SQL."""
    where = f"{response.request.method} {str(response.request.url)[:150]}: {response.status_code} {response.text[:300]}"
    if response.status_code not in statuses:
        return where
    body = response.json()
    if set(body) != {"message", "payload", "status_code"} or body["status_code"] != response.status_code:
        return where
    if not body["message"] or len(response.content) > 100_000 or re.search(r"select |asyncpg|Traceback", response.text):
        return where
    return None


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_json_object_is_explained(client_of: ClientOf, world: World, name: str) -> None:
    content, said = BODIES[name]
    wrong: list[str | None] = []

    for route in WRITES:
        response = await write(client_of, route, content)
        # Some calls look for what is to be changed first.
        wrong.append(wrong_refusal(response, {400, 404} if "{" in route.path else {400}))
        if response.status_code == 400 and said not in response.text:
            wrong.append(f"{route.method} {route.path}: {response.text[:300]}")

    assert [each for each in wrong if each] == []


async def write(client_of: ClientOf, route: Route, content: bytes) -> httpx.Response:
    """By somebody who may do everything."""
    headers = {"If-match": "x"} if route.needs_etag else {}
    return await client_of("admin").request(route.method, address(route.path), content=content, headers=headers)


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "\x07", "x" * 100_000, [], [[]], {}, {"a": {"b": []}}])
async def test_a_property_of_any_type_is_taken_or_refused(client_of: ClientOf, world: World, value: object) -> None:
    wrong: list[str | None] = []

    for route in WRITES:
        assert route.body is not None
        for name in route.body.__struct_encode_fields__:
            response = await write(client_of, route, json.dumps({name: value}).encode())
            wrong.append(wrong_refusal(response, {400, 401, 404, 409, 412}) if response.status_code > 299 else None)

    assert [each for each in wrong if each] == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "-1", "offset": "0"},
        {"limit": "0", "offset": "0"},
        {"limit": "1", "offset": "1" + "0" * 30},
        {"limit": "1.5", "offset": "0"},
        {"limit": "\N{ARABIC-INDIC DIGIT ONE}", "offset": "0"},
        {"limit": "10"},
        {"nonsense": "1"},
        {"sort": "nonsense"},
        {"sort": "-"},
        {"sort": "name; drop table jobs"},
        {"where": "nonsense:1"},
        {"where": "name"},
        {"where": "id:abc"},
        {"where": "created_at:yesterday-ish"},
        {"where": "name:a\0b"},
        {"where": "name:a\rb\0"},
        {"query": "eq(nonsense,1)"},
        {"query": "eq(id,abc)"},
        {"query": "eq(name"},
        {"query": "not(eq(name,a),eq(name,b))"},
        {"query": "(" * 10_000 + ")" * 10_000},
        {"query": "not(" * 5_000 + "eq(name,a)" + ")" * 5_000},
        {"query": "eq(name,a\0b)"},
        {"query": "lt(created_at,infinity-and-beyond)"},
        {"created_after": "9" * 40},
        {"created_after": "tomorrow"},
    ],
)
async def test_an_absurd_listing_is_refused(client_of: ClientOf, parameters: dict[str, str]) -> None:
    wrong = [wrong_refusal(await client_of("admin").get(path, params=parameters), {400}) for path in LISTS]

    assert [each for each in wrong if each] == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "9" * 1000, "offset": "0"},
        {"where": "name:" + "x" * 20_000},
        {"where": "name:'; drop table jobs; --"},
        {"where": "name:%_\\*"},
        {"limit": "200", "offset": "9223372036854775807"},
    ],
)
async def test_a_strange_listing_is_answered(client_of: ClientOf, parameters: dict[str, str]) -> None:
    answers = {path: await client_of("admin").get(path, params=parameters) for path in LISTS}

    # Audits have no name.
    named = {path: answer for path, answer in answers.items() if "where" not in parameters or "name" in columns(path)}
    assert {path: answer.text for path, answer in named.items() if answer.status_code != 200} == {}
    assert len(named) > 6


def columns(path: str) -> set[str]:
    return {name for route in all_routes() if route.path == path and route.listing for name in route.listing}


@pytest.mark.parametrize("query", [b"where=name:%ff", b"where=name:%ed%a0%80", b"%00=1", b"where=%00", b"limit=%d9%a1"])
async def test_bytes_that_are_no_text_in_a_query_are_no_error_of_ours(client_of: ClientOf, query: bytes) -> None:
    statuses = {(await client_of("admin").get(f"{path}?{query.decode()}")).status_code for path in LISTS}

    assert statuses <= {200, 400}


@pytest.mark.parametrize("column", SECRETS)
@pytest.mark.parametrize("parameter", ["where={}:x", "query=eq({},x)", "query=like({},%25)", "sort={}", "sort=-{}"])
async def test_no_secret_can_be_compared_or_sorted(client_of: ClientOf, column: str, parameter: str) -> None:
    wrong = [wrong_refusal(await client_of("admin").get(f"{path}?{parameter.format(column)}"), {400}) for path in LISTS]

    assert [each for each in wrong if each] == []


@pytest.mark.parametrize("identifier", ["abc", "0", "x" * 36, "00000000-0000-4000-8000-00000000000g", "%00"])
async def test_a_bad_id_in_the_path_is_an_unknown_address(client_of: ClientOf, identifier: str) -> None:
    paths = {route.path for route in all_routes() if route.method == "GET" and ":uuid}" in route.path}
    wrong: list[str | None] = []

    for path in sorted(paths):
        place = re.sub(r"\{\w+:uuid\}", identifier, path).replace("{path:path}", "a")
        response = await client_of("admin").get(place)
        wrong.append(wrong_refusal(response, {404}) if response.status_code != 200 else None)

    assert [each for each in wrong if each] == []


NAMED: dict[str, dict[str, object]] = {
    "/teams": {},
    "/users": {"fullname": "x", "email": "x@example.org", "password": "correct horse"},
    "/products": {},
    "/topics": {"product_id": "RHEL", "component_types": []},
    "/remotecis": {"team_id": "Blue"},
    "/feeders": {"team_id": "Blue"},
    "/components": {"type": "compose", "topic_id": "RHEL-9.6"},
}


@pytest.mark.parametrize("path", NAMED)
@pytest.mark.parametrize("character", ["\x01", "\n", "\x1b", "\x7f", "\x85"])
async def test_a_name_with_a_control_character_is_refused(
    client_of: ClientOf, world: World, path: str, character: str
) -> None:
    others = {key: world.ids.get(str(value), value) for key, value in NAMED[path].items()}

    response = await client_of("admin").post(path, json={**others, "name": f"a{character}b"})
    plain = await client_of("admin").post(path, json={**others, "name": "a b"})

    assert wrong_refusal(response, {400}) is None
    assert "control character" in response.json()["message"]
    assert plain.status_code == 201


@pytest.mark.parametrize("path", ["/jobs/schedule", "/components", "/remotecis", "/topics"])
async def test_ten_megabytes_of_data_are_too_much(client_of: ClientOf, path: str) -> None:
    body = {"name": "x", "data": {"text": "x" * 10_000_000}}

    response = await client_of("blue_lab").post(path, json=body)

    assert wrong_refusal(response, {413}) is None
