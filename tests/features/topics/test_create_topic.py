# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import pytest

from tests.conftest import ClientOf, World


async def test_a_topic_has_what_was_sent_and_the_defaults_for_the_rest(client_of: ClientOf, world: World) -> None:
    body = {"name": "RHEL-10", "product_id": world.ids["RHEL"], "component_types": ["Compose", "harness"]}

    response = await client_of("blue_feeder").post("/topics", json=body)

    assert response.status_code == 201
    topic = response.json()["topic"]
    assert topic["component_types"] == ["compose", "harness"]
    assert (topic["component_types_optional"], topic["data"], topic["state"]) == ([], {}, "active")
    assert (topic["export_control"], topic["next_topic_id"]) == (False, None)
    assert response.headers["etag"] == topic["etag"]


@pytest.mark.parametrize("element", [1, None, True, ["a"], {"a": 1}])
async def test_a_component_type_that_is_no_text_is_refused(client_of: ClientOf, world: World, element: object) -> None:
    body = {"name": "n", "product_id": world.ids["RHEL"], "component_types": ["a", element]}

    response = await client_of("epm").post("/topics", json=body)

    assert (response.status_code, response.json()["message"]) == (400, "Request malformed")
    assert "component_types" in response.json()["payload"]["error"]
    assert await world.count("topics") == 1


async def test_of_two_topics_with_one_name_one_is_created(client_of: ClientOf, world: World) -> None:
    epm, body = client_of("epm"), {"name": "twin", "product_id": world.ids["RHEL"]}

    responses = await asyncio.gather(*(epm.post("/topics", json=body) for _ in range(2)))

    assert sorted(response.status_code for response in responses) == [201, 409]
    (refused,) = [response.json() for response in responses if response.status_code == 409]
    assert refused["message"] == "We are unable to create this resource. A similar resource already exists."
    assert await world.count("topics") == 2


@pytest.mark.parametrize("field", ["product_id", "next_topic_id"])
async def test_a_reference_to_nothing_is_a_conflict(client_of: ClientOf, world: World, field: str) -> None:
    body = {"name": "n", "product_id": world.ids["RHEL"], field: "00000000-0000-4000-8000-000000000000"}

    response = await client_of("epm").post("/topics", json=body)

    assert response.status_code == 409
    assert response.json()["payload"] == {"error": {field: "does not exist"}}


@pytest.mark.parametrize("field", ["id", "etag", "created_at", "updated_at", "product", "next_topic"])
async def test_what_a_creation_cannot_set_is_refused(client_of: ClientOf, world: World, field: str) -> None:
    response = await client_of("epm").post("/topics", json={"name": "n", "product_id": world.ids["RHEL"], field: "x"})

    assert response.status_code == 400
    assert await world.count("topics") == 1


@pytest.mark.parametrize("who", ["reader", "alice", "blue_lab"])
@pytest.mark.parametrize(("body", "status"), [({"name": "n"}, 401), ({}, 400)])
async def test_refusals_of_a_creation_come_in_order(
    client_of: ClientOf, world: World, who: str, body: dict[str, Any], status: int
) -> None:
    response = await client_of(who).post("/topics", json={"product_id": world.ids["RHEL"], **body})

    assert response.status_code == status
    assert await world.count("topics") == 1
