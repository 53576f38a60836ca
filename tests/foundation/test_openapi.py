# SPDX-License-Identifier: Apache-2.0
"""The document says what the route tables and the structs say."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from dci_server.foundation.openapi import RouteDescription, build_document
from dci_server.foundation.parameters import Parameter, WholeNumber
from dci_server.foundation.shapes import Id, JsonObject, State, empty_object


class NewThing(Struct, frozen=True, kw_only=True):
    """What a thing starts with."""

    name: str
    topic_id: Id
    data: JsonObject = field(default_factory=empty_object)
    state: State = "active"
    tags: list[object] = field(default_factory=list[object])


class Thing(Struct):
    id: str


class ThingAnswer(Struct):
    thing: Thing


def _same_name() -> type[Struct]:
    class Thing(Struct):
        other: int

    return Thing


def route(
    method: str = "GET",
    path: str = "/api/v1/things",
    *,
    body: type | None = None,
    closed: bool = True,
    raw_body: bool = False,
    answers: Mapping[int, Any] | None = None,
    list_parameters: Iterable[str] = (),
    query: Iterable[Parameter] = (),
    needs_etag: bool = False,
    public: bool = False,
    headers: Mapping[str, str] | None = None,
) -> RouteDescription:
    return RouteDescription(
        method=method,
        path=path,
        summary="Does it.",
        tags="things",
        body=body,
        closed=closed,
        raw_body=raw_body,
        answers=answers or {200: None},
        list_parameters=list_parameters,
        query=query,
        needs_etag=needs_etag,
        public=public,
        headers=headers or {},
        who="every caller",
        hides=False,
        produces="application/octet-stream",
    )


def document_of(*routes: RouteDescription) -> dict[str, Any]:
    document = build_document(routes, title="things", version="1.2")
    return msgspec.json.decode(msgspec.json.encode(document), type=dict[str, Any])


def operation_of(described: RouteDescription) -> dict[str, Any]:
    return document_of(described)["paths"][described.path][described.method.lower()]


def test_the_document_names_itself_and_its_calls() -> None:
    document = document_of(route(), route("POST"))

    assert document["openapi"] == "3.1.0"
    assert (document["info"]["title"], document["info"]["version"]) == ("things", "1.2")
    assert set(document["paths"]["/api/v1/things"]) == {"get", "post"}
    assert set(document["components"]["securitySchemes"]) == {"basic", "bearer", "signature"}


def test_every_reference_leads_somewhere() -> None:
    described = [
        route("POST", body=NewThing, answers={201: ThingAnswer}),
        route("GET", "/api/v1/others", answers={200: _same_name()}),
    ]

    document = document_of(*described)

    text = msgspec.json.encode(document).decode()
    used = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == set(document["components"]["schemas"])
    assert len(used) == 5


def test_a_body_is_described_by_its_struct() -> None:
    document = document_of(route("POST", body=NewThing))

    schema = document["components"]["schemas"]["NewThing"]
    assert schema["description"] == "What a thing starts with."
    assert schema["required"] == ["name", "topic_id"]
    assert schema["properties"]["topic_id"]["format"] == "uuid"
    assert schema["properties"]["data"]["type"] == "object"
    assert schema["properties"]["tags"] == {"type": "array", "items": {"description": "Anything."}}
    assert set(schema["properties"]["state"]["enum"]) == {"active", "inactive", "archived"}


def test_a_closed_body_has_no_other_properties_and_an_open_one_may() -> None:
    closed = document_of(route("POST", body=NewThing))
    opened = document_of(route("PUT", body=NewThing, closed=False))

    assert closed["components"]["schemas"]["NewThing"]["additionalProperties"] is False
    assert "additionalProperties" not in opened["components"]["schemas"]["NewThing"]


def test_an_upload_is_described_as_bytes() -> None:
    operation = operation_of(route("POST", raw_body=True, headers={"DCI-NAME": "The name."}))

    assert list(operation["requestBody"]["content"]) == ["application/octet-stream"]
    assert "required" not in operation["requestBody"]
    assert operation["parameters"][-1] == {
        "name": "DCI-NAME",
        "in": "header",
        "description": "The name.",
        "schema": {"type": "string", "maxLength": 255},
        "required": True,
    }


def test_parameters_are_named_where_they_belong() -> None:
    operation = operation_of(
        route("PUT", "/api/v1/things/{thing_id}", list_parameters=["name", "created_at", "updated_at"], needs_etag=True)
    )

    places = [(parameter["in"], parameter["name"]) for parameter in operation["parameters"]]
    listing = ["limit", "offset", "sort", "where", "query", "created_after", "updated_after", "embed"]
    assert places == [("path", "thing_id"), *(("query", name) for name in listing), ("header", "If-match")]
    assert operation["parameters"][0]["schema"] == {"type": "string", "format": "uuid"}
    assert operation["parameters"][3]["description"].endswith("Columns: created_at, name, updated_at.")


def test_a_list_without_a_time_of_change_is_not_asked_for_one() -> None:
    operation = operation_of(route(list_parameters=["created_at", "id"]))

    names = [parameter["name"] for parameter in operation["parameters"]]
    assert "created_after" in names
    assert "updated_after" not in names


def test_the_refusals_are_those_that_can_happen() -> None:
    def statuses(described: RouteDescription) -> list[str]:
        return list(operation_of(described)["responses"])

    assert statuses(route()) == ["200", "400", "401", "412", "413", "429", "503"]
    assert statuses(route("GET", "/api/v1/things/{thing_id}")) == [
        "200",
        "400",
        "401",
        "404",
        "412",
        "413",
        "429",
        "503",
    ]
    assert statuses(route("POST", body=NewThing)) == ["200", "400", "401", "404", "409", "412", "413", "429", "503"]
    assert statuses(route(public=True)) == ["200"]


def test_a_public_call_needs_no_credentials() -> None:
    assert operation_of(route(public=True))["security"] == []
    assert operation_of(route())["security"] == [{"basic": []}, {"bearer": []}, {"signature": []}]


def test_operation_identifiers_are_unique() -> None:
    document = document_of(
        route(), route("POST"), route("GET", "/"), route("GET", "/api/v1/a/b"), route("GET", "/api/v1/a_b")
    )

    found = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert found == ["get_things", "post_things", "get_index", "get_a_b", "get_a_b_2"]


def test_a_query_parameter_says_what_it_may_be() -> None:
    query = [Parameter("keys", "Only these."), WholeNumber("overlap", "How long.", 0, 60)]

    found = build_document([route("PUT", query=query)], title="t", version="1")

    paths: Any = found["paths"]
    assert paths["/api/v1/things"]["put"]["parameters"] == [
        {"name": "keys", "in": "query", "description": "Only these.", "schema": {"type": "string"}},
        {
            "name": "overlap",
            "in": "query",
            "description": "How long.",
            "schema": {"type": "integer", "minimum": 0, "maximum": 60},
        },
    ]


def test_the_ids_of_answers_are_said_to_be_ids() -> None:
    class Changed(Struct):
        id: str

    class Told(Struct):
        id: str
        team_id: str | None
        name: str
        number_id: int
        changed: Changed

    described = route("PUT", body=Changed, answers={200: Told})

    schemas = document_of(described)["components"]["schemas"]

    properties = schemas["Told"]["properties"]
    assert properties["id"] == {"type": "string", "format": "uuid"}
    assert {"type": "string", "format": "uuid"} in properties["team_id"]["anyOf"]
    assert [properties[name]["type"] for name in ("name", "number_id")] == ["string", "integer"]
    assert "format" not in properties["name"]
    assert schemas["Changed"]["properties"]["id"] == {"type": "string"}


def test_what_a_header_may_say_is_told() -> None:
    described = route("POST", headers={"Content-Encoding": "How it is compressed.", "Range": "A part."})

    told = {each["name"]: each["schema"] for each in operation_of(described)["parameters"]}

    assert told == {"Content-Encoding": {"enum": ["gzip", "x-gzip", "zstd", "identity"]}, "Range": {"type": "string"}}
