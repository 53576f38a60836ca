# SPDX-License-Identifier: Apache-2.0
from uuid import uuid4

import pytest

from tests.conftest import ClientOf, World


async def test_a_scheduled_job_takes_the_newest_component_of_each_type(client_of: ClientOf, world: World) -> None:
    newer = await world.add(
        "components", name="RHEL-9.6.0-2", display_name="RHEL-9.6.0-2", version="2", type="compose",
        topic_id=world.ids["RHEL-9.6"],
    )  # fmt: skip
    lab = client_of("blue_lab")

    response = await lab.post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})

    assert response.status_code == 201
    job = response.json()["job"]
    assert job["status"] == "new"
    assert job["team_id"] == world.ids["Blue"]
    assert job["product_id"] == world.ids["RHEL"]
    assert response.headers["etag"] == job["etag"]
    read = (await lab.get(f"/jobs/{job['id']}")).json()["job"]
    assert [component["id"] for component in read["components"]] == [newer]
    assert read["remoteci"]["name"] == "blue_lab"
    assert not [key for key in read["remoteci"] if "secret" in key]


async def test_an_unknown_component_leaves_no_job_behind(client_of: ClientOf, world: World) -> None:
    new = {"topic_id": world.ids["RHEL-9.6"], "components": [str(uuid4())]}

    response = await client_of("blue_lab").post("/jobs", json=new)

    assert response.status_code == 404
    assert response.json()["message"] == "component not found"
    assert await world.count("jobs") == 0


async def test_a_foreign_component_leaves_no_job_behind(client_of: ClientOf, world: World) -> None:
    foreign = await world.add(
        "components", name="x", display_name="x", type="compose", topic_id=world.ids["RHEL-9.6"], team_id=world.ids["Red"]
    )  # fmt: skip
    new = {"topic_id": world.ids["RHEL-9.6"], "components": [world.ids["compose"], foreign]}

    response = await client_of("blue_lab").post("/jobs", json=new)

    assert response.status_code == 401
    assert await world.count("jobs") == 0


async def test_a_granted_team_may_use_the_component(client_of: ClientOf, world: World) -> None:
    granted = await world.add(
        "components", name="x", display_name="x", type="compose", topic_id=world.ids["RHEL-9.6"], team_id=world.ids["Red"]
    )  # fmt: skip
    await world.add("teams_components_access", team_id=world.ids["Blue"], access_team_id=world.ids["Red"])

    response = await client_of("blue_lab").post(
        "/jobs", json={"topic_id": world.ids["RHEL-9.6"], "components": [granted]}
    )

    assert response.status_code == 201


async def test_a_type_without_component_is_named(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update topics set component_types = array['compose', 'kernel']")

    response = await client_of("blue_lab").post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})

    assert response.status_code == 412
    assert response.json()["message"] == 'Component of type "kernel" not found or not exported.'
    assert await world.count("jobs") == 0


async def test_named_components_must_be_as_many_as_the_types(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update topics set component_types = array['compose', 'kernel']")
    new = {"topic_id": world.ids["RHEL-9.6"], "components_ids": [world.ids["compose"]]}

    response = await client_of("blue_lab").post("/jobs/schedule", json=new)

    assert response.status_code == 412
    assert "does not match the number of component types ['compose', 'kernel']" in response.json()["message"]


@pytest.mark.parametrize("who", ["admin", "alice", "reader", "blue_feeder"])
async def test_only_a_remoteci_creates_jobs(client_of: ClientOf, world: World, who: str) -> None:
    response = await client_of(who).post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})

    assert response.status_code == 400
    assert response.json()["message"] == "Only remoteci can create job"


async def test_a_topic_of_a_foreign_product_is_refused(client_of: ClientOf, world: World) -> None:
    product = await world.add("products", name="OpenShift", label="OPENSHIFT")
    topic = await world.add("topics", name="OCP-4.18", product_id=product, export_control=True)

    response = await client_of("blue_lab").post("/jobs/schedule", json={"topic_id": topic})

    assert response.status_code == 401


async def test_a_pre_release_topic_needs_a_team_with_pre_release_access(client_of: ClientOf, world: World) -> None:
    await world.db.execute("update topics set export_control = false")
    lab = client_of("blue_lab")
    refused = await lab.post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})

    await world.db.execute("update teams set has_pre_release_access = true where name = 'Blue'")
    accepted = await client_of("red_lab").post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})

    assert refused.status_code == 401
    assert accepted.status_code == 401


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ("update topics set state = 'inactive'", 412, "not active."),
        ("update topics set state = 'archived'", 404, "topic not found"),
        ("update products set state = 'archived'", 404, "product not found"),
    ],
)
async def test_a_topic_that_is_closed_takes_no_job(
    client_of: ClientOf, world: World, change: str, status: int, message: str
) -> None:
    await world.db.execute(change)

    response = await client_of("blue_lab").post("/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"]})

    assert response.status_code == status
    assert message in response.json()["message"]


async def test_a_previous_job_of_another_team_is_not_found(client_of: ClientOf, world: World) -> None:
    foreign = await world.job("red_lab")

    response = await client_of("blue_lab").post(
        "/jobs/schedule", json={"topic_id": world.ids["RHEL-9.6"], "previous_job_id": foreign}
    )

    assert response.status_code == 404
    assert response.json()["message"] == "job not found"


async def test_an_unknown_property_is_named(client_of: ClientOf, world: World) -> None:
    response = await client_of("blue_lab").post("/jobs", json={"components": [], "id": str(uuid4()), "foo": 1})

    assert response.status_code == 400
    assert response.json()["payload"]["error"] == (
        "Additional properties are not allowed ('foo', 'id' were unexpected)"
    )
