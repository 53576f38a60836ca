# SPDX-License-Identifier: Apache-2.0
"""One OpenAPI 3.1 document, from the structs and the route tables that the server itself runs on."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from dci_server.foundation.openapi_examples import Examples
from dci_server.foundation.parameters import Parameter

_REFUSALS = {
    400: "The request is malformed; the message says how.",
    401: "Nobody we know, or not allowed.",
    404: "Absent, archived, or not visible to the caller.",
    405: "What is no identifier is taken for a path, which can only be read.",
    409: "Another resource is in the way.",
    410: "Its bytes were removed by a rule of retention; what is known of the file stays.",
    412: "`If-match` is missing, or something is not in the state it must be in.",
    413: "Larger than what is accepted.",
    415: "The body is not said to be of the kind, or compressed in one of the ways, that are taken here.",
    416: "The range lies outside of the file; `Content-Range` tells its size.",
    423: "Somebody else is at work on it; try again in a while.",
    429: "Too many attempts to log in at once; `Retry-After` says when to try again.",
    460: "The checksum is not that of the bytes that arrived: send them again.",
    502: "Another service that was asked for it gave no usable answer; try again later.",
    503: "A part the server depends on does not answer; try again.",
}
_REFUSAL_MESSAGES = {
    400: "Request malformed",
    401: "Operation not authorized.",
    404: "topic not found",
    405: "DELETE is not possible here; possible are GET, HEAD, OPTIONS",
    409: "We are unable to create this resource. A similar resource already exists.",
    410: "the content of this file was removed on 2026-03-01, because it was kept for long enough",
    412: "'If-match' header must be provided",
    413: "the body is larger than 2097152 bytes; send big content as a file (POST /files)",
    415: "the body's Content-Type must be application/offset+octet-stream",
    416: "the range lies outside of the file, which has 512 bytes",
    423: "the file is being made of its pieces; ask again in a while",
    429: "too many attempts to log in at once; try again later",
    460: "Upload-Checksum is not that of the bytes that arrived; send them again",
    502: "the RHDL service, which has the files of this component, does not work now; try again later",
    503: "the database does not answer; try again in a moment",
}
_SUCCESSES = {
    200: "What was asked for.",
    201: "Created.",
    204: "Done; the body is empty.",
    206: "The part that was asked for.",
    302: "It is over there.",
    304: "It has not changed; the body is empty.",
}
_TEXT: object = {"type": "string"}
_BYTES: object = {"schema": {}}
_UUID: object = {"type": "string", "format": "uuid"}
_NUMBER: object = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_IN_PATHS: Mapping[str, object] = {"path": _TEXT, "first_id": _NUMBER}
"""What is no id in a path."""
_IN_HEADERS: Mapping[str, object] = {
    "Content-Encoding": {"enum": ["gzip", "x-gzip", "zstd", "identity"]},
    "DCI-JOB-ID": _UUID,
    "DCI-JOBSTATE-ID": _UUID,
    "DCI-MD5": {"type": "string", "pattern": "^([0-9a-fA-F]{32})?$"},
    "DCI-NAME": {"type": "string", "maxLength": 255},
    "Tus-Resumable": {"const": "1.0.0"},
    "Upload-Length": _NUMBER,
    "Upload-Offset": _NUMBER,
}
"""What is not any text in a header."""
_REQUIRED_HEADERS = {"DCI-NAME", "Tus-Resumable", "Upload-Length", "Upload-Metadata", "Upload-Offset"}
_LIST_PARAMETERS: Mapping[str, tuple[object, str]] = {
    "limit": ({"type": "integer", "minimum": 1, "default": 20}, "At most 200 are given; only together with offset."),
    "offset": ({"type": "integer", "minimum": 0, "default": 0}, "Rows to skip; only together with limit."),
    "sort": (_TEXT, "Comma-separated columns, `-` before one for descending."),
    "where": (_TEXT, "`column:value,…`, all must hold; a trailing `*` means contains, `tags:a|b` means a or b."),
    "query": (_TEXT, "`and(eq(column,value),…)`: eq ne lt le gt ge like ilike contains not_contains null and or not."),
    "created_after": (_TEXT, "A time, or milliseconds since 1970."),
    "updated_after": (_TEXT, "A time, or milliseconds since 1970."),
    "embed": (_TEXT, "Accepted and ignored: what is embedded is fixed."),
}
_ON_COLUMNS = ("sort", "where", "query")
_INTRODUCTION = (
    "A hub for distributed CI: laboratories report what they tested, teams look at how it went.\n\n"
    "To try a call here, press *Authorize* and log in as a user. Laboratories and feeders sign their requests instead: "
    "use `dcictl` or `dciclient` with their credentials. Lists take `limit`, `offset`, `sort`, `where` and `query`; "
    "changes of what exists take its `etag` in the header `If-match`. Every refusal is JSON: `message` says what to do."
)
_NEEDS_COLUMN = {"created_after": "created_at", "updated_after": "updated_at"}
_SECURITY = {
    "basic": {"type": "http", "scheme": "basic", "description": "Name and password of a user."},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Access token of the single sign-on, where one is configured.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "DCI2-HMAC-SHA256 or AWS4-HMAC-SHA256: the request is signed with the secret of a remoteci or "
        "feeder.",
    },
}


@dataclass(frozen=True)
class RouteDescription:
    """What the document says of one call; `answers` maps a status to the shape of the whole body, None for no JSON."""

    method: str
    path: str
    summary: str
    tags: str
    body: type | None
    closed: bool
    raw_body: bool
    answers: Mapping[int, Any]
    list_parameters: Iterable[str]
    query: Iterable[Parameter]
    needs_etag: bool
    public: bool
    headers: Mapping[str, str]
    who: str
    hides: bool
    produces: str
    refusals: Sequence[int] = ()


class Refusal(msgspec.Struct):
    """What every error looks like (conventions §7)."""

    message: str
    payload: dict[str, Any]
    status_code: int


def build_document(routes: Iterable[RouteDescription], *, title: str, version: str) -> dict[str, object]:
    described = list(routes)
    # All shapes in one go: two of the same name are told apart only then.
    shapes = dict.fromkeys([Refusal, *(shape for route in described for shape in _shapes_of(route))])
    schemas, components = msgspec.json.schema_components(
        shapes,
        schema_hook=_schema_of_custom,
        ref_template="#/components/schemas/{name}",
    )
    schema_of = dict(zip(shapes, schemas, strict=True))
    for route in described:
        if route.body is not None and route.closed:
            # Said here and not in the struct: whether a body is closed is a property of the call (conventions §9).
            _resolved(schema_of[route.body], components)["additionalProperties"] = False
    for name in _told_only(described, schema_of, components):
        _say_identifiers(components[name])
    examples = Examples(components)
    contents = {
        shape: {"application/json": {"schema": schema, "example": examples.of(schema)}}
        for shape, schema in schema_of.items()
    }
    identifiers = _operation_ids(described)
    paths: dict[str, dict[str, object]] = {}
    for route, identifier in zip(described, identifiers, strict=True):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, identifier, contents)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _INTRODUCTION},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _shapes_of(route: RouteDescription) -> list[Any]:
    return [shape for shape in (route.body, *route.answers.values()) if shape is not None]


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    return components[schema["$ref"].rpartition("/")[2]]


def _told_only(
    described: Iterable[RouteDescription], schema_of: Mapping[Any, dict[str, Any]], components: dict[str, Any]
) -> set[str]:
    """The shapes that are in answers and in no body."""
    taken = {name for route in described if route.body is not None for name in _named_in(schema_of[route.body])}
    while more := {name for each in taken for name in _named_in(components[each])} - taken:
        taken |= more
    return components.keys() - taken


def _named_in(schema: object) -> set[str]:
    return set(re.findall(r'"#/components/schemas/([^"]+)"', msgspec.json.encode(schema).decode()))


def _say_identifiers(schema: dict[str, Any]) -> None:
    """Structs of answers are never read here, so their ids are texts there."""
    for name, told in schema.get("properties", {}).items():
        if name == "id" or name.endswith("_id"):
            for each in told.get("anyOf", [told]):
                if each.get("type") == "string":
                    each["format"] = "uuid"


def _schema_of_custom(kind: type) -> dict[str, object]:
    if kind is object:
        return {"description": "Anything."}
    raise NotImplementedError


def _operation_ids(routes: list[RouteDescription]) -> list[str]:
    seen: Counter[str] = Counter()
    identifiers: list[str] = []
    for route in routes:
        words = re.sub(r"[^a-zA-Z0-9]+", "_", route.path.removeprefix("/api/v1")).strip("_") or "index"
        identifier = f"{route.method.lower()}_{words}"
        seen[identifier] += 1
        identifiers.append(identifier if seen[identifier] == 1 else f"{identifier}_{seen[identifier]}")
    return identifiers


def _operation(route: RouteDescription, identifier: str, contents: Mapping[Any, Any]) -> dict[str, object]:
    operation: dict[str, object] = {
        "operationId": identifier,
        "summary": route.summary,
        "description": f"Who: {route.who}." + (" Others are told 404." if route.hides else ""),
        "tags": [route.tags],
        "parameters": _parameters(route),
        "responses": _responses(route, contents),
        "security": [] if route.public else [{name: []} for name in _SECURITY],
    }
    if route.raw_body:
        # Not required: an empty file is a file.
        kind = "application/offset+octet-stream" if "Upload-Offset" in route.headers else "application/octet-stream"
        operation["requestBody"] = {"content": {kind: _BYTES}}
    elif route.body is not None:
        operation["requestBody"] = {"required": True, "content": contents[route.body]}
    return operation


def _parameters(route: RouteDescription) -> list[dict[str, Any]]:
    names = cast("list[str]", re.findall(r"\{(\w+)\}", route.path))
    found: list[dict[str, Any]] = []
    found.extend({"name": name, "in": "path", "required": True, "schema": _IN_PATHS.get(name, _UUID)} for name in names)
    columns = sorted(route.list_parameters)
    if columns:
        possible = (name for name in _LIST_PARAMETERS if _NEEDS_COLUMN.get(name, columns[0]) in columns)
        found += [_list_parameter(name, columns) for name in possible]
    found.extend(
        {"name": each.name, "in": "query", "description": each.text, "schema": each.schema} for each in route.query
    )
    if route.needs_etag:
        text = "The etag of the last read, bare; the call is refused when the resource has changed since."
        found.append({"name": "If-match", "in": "header", "required": True, "description": text, "schema": _TEXT})
    found.extend(
        {"name": name, "in": "header", "description": text, "schema": _IN_HEADERS.get(name, _TEXT)}
        | ({"required": True} if name in _REQUIRED_HEADERS else {})
        for name, text in route.headers.items()
    )
    return found


def _list_parameter(name: str, columns: list[str]) -> dict[str, Any]:
    schema, text = _LIST_PARAMETERS[name]
    if name in _ON_COLUMNS:
        text += f" Columns: {', '.join(columns)}."
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _responses(route: RouteDescription, contents: Mapping[Any, Any]) -> dict[str, object]:
    responses: dict[str, object] = {}
    for status, shape in route.answers.items():
        response: dict[str, object] = {"description": _SUCCESSES.get(status, "Done.")}
        if shape is not None:
            response["content"] = contents[shape]
        elif status in (200, 206):
            response["content"] = {route.produces: _BYTES}
        responses[str(status)] = response
    for status in _possible_refusals(route):
        content = {"application/json": {**contents[Refusal]["application/json"], "example": _refusal(status)}}
        responses[str(status)] = {"description": _REFUSALS[status], "content": content}
    if not responses:
        responses["default"] = {"description": "Done."}
    return responses


def _refusal(status: int) -> dict[str, object]:
    return {"message": _REFUSAL_MESSAGES[status], "payload": {}, "status_code": status}


def _possible_refusals(route: RouteDescription) -> list[int]:
    if route.public:
        return []
    writes = route.method not in ("GET", "HEAD")
    names_others = "{" in route.path or route.body is not None
    # 412 and 413 everywhere: a client's team may be inactive, and any body may be too long.
    possible = {
        400: True,
        401: True,
        404: names_others or route.raw_body or route.hides,
        409: writes,
        412: True,
        413: True,
        416: 206 in route.answers,
        429: True,
        502: 302 in route.answers,
        503: True,
    }
    statuses = {status for status, can_happen in possible.items() if can_happen} | set(route.refusals)
    return sorted(statuses - route.answers.keys())
