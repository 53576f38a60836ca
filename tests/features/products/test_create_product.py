# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from tests.conftest import ClientOf, World


@pytest.mark.parametrize(
    ("label", "stored"), [("kept as Sent", "kept as Sent"), ("", "NAME"), (None, "NAME"), (..., "NAME")]
)
async def test_a_label_that_is_missing_follows_from_the_name(client_of: ClientOf, label: object, stored: str) -> None:
    body = {"name": "name"} if label is ... else {"name": "name", "label": label}

    response = await client_of("admin").post("/products", json=body)

    assert response.status_code == 201
    assert response.json()["product"]["label"] == stored
    assert response.headers["etag"] == response.json()["product"]["etag"]


async def test_of_two_products_with_one_label_one_is_created(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")

    responses = await asyncio.gather(*(admin.post("/products", json={"name": "twin"}) for _ in range(2)))

    assert sorted(response.status_code for response in responses) == [201, 409]
    (refused,) = [response.json() for response in responses if response.status_code == 409]
    assert refused["message"] == "We are unable to create this resource. A similar resource already exists."
    assert refused["payload"] == {"error": {"label": "already_exists"}}
    assert await world.count("products") == 2


@pytest.mark.parametrize("field", ["id", "etag", "created_at", "updated_at", "topics"])
async def test_what_a_creation_cannot_set_is_refused(client_of: ClientOf, world: World, field: str) -> None:
    response = await client_of("admin").post("/products", json={"name": "n", field: "x"})

    assert response.status_code == 400
    assert field in response.json()["payload"]["error"]
    assert await world.count("products") == 1


@pytest.mark.parametrize("who", ["epm", "reader", "alice", "blue_lab", "blue_feeder"])
async def test_products_are_created_by_super_admins_and_every_attempt_is_written_down(
    client_of: ClientOf, world: World, who: str
) -> None:
    response = await client_of(who).post("/products", json={"name": "n"})

    assert response.status_code == 401
    assert await world.count("products") == 1
    audits = (await client_of("admin").get("/audits")).json()["audits"]
    assert [audit["action"] for audit in audits] == ["create_product"]
