# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import ClientOf, World


async def test_a_key_has_one_value_until_it_is_removed(client_of: ClientOf, world: World) -> None:
    lab, job = client_of("blue_lab"), await world.job()

    added = await lab.post(f"/jobs/{job}/kv", json={"key": "seconds", "value": 3})
    again = await lab.post(f"/jobs/{job}/kv", json={"key": "seconds", "value": 4})
    read = (await lab.get(f"/jobs/{job}")).json()["job"]["keys_values"]
    removed = await lab.request("DELETE", f"/jobs/{job}/kv", json={"key": "seconds"})
    removed_again = await lab.request("DELETE", f"/jobs/{job}/kv", json={"key": "seconds"})

    assert (added.status_code, added.json()) == (201, {"kv": {"job_id": job, "key": "seconds", "value": 3.0}})
    assert again.status_code == 409
    assert again.json()["message"] == "We are unable to create this resource. A similar resource already exists."
    assert read == [{"job_id": job, "key": "seconds", "value": 3.0}]
    assert (removed.status_code, removed_again.status_code) == (204, 204)
    assert await world.count("jobs_keys_values") == 0


async def test_a_key_value_changes_the_etag_but_not_what_a_tag_writer_compares(
    client_of: ClientOf, world: World
) -> None:
    lab, job = client_of("blue_lab"), await world.job()
    before = (await lab.get(f"/jobs/{job}")).json()["job"]["etag"]

    await lab.post(f"/jobs/{job}/kv", json={"key": "k", "value": 0.5})

    after = (await lab.get(f"/jobs/{job}")).json()["job"]["etag"]
    assert after != before
    assert after[:16] == before[:16]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"key": "k", "value": true}', "True is not of type 'number'"),
        ('{"key": "k", "value": "1"}', "'1' is not of type 'number'"),
        ('{"key": "k"}', "'value' is a required property"),
        ('{"key": "k", "value": 1, "x": 1}', "Additional properties are not allowed ('x' was unexpected)"),
        ('{"key": "k", "value": NaN}', None),
        ('{"key": "k", "value": Infinity}', None),
        ('{"key": "k", "value": 1e999}', None),
        ('{"key": "' + "k" * 256 + '", "value": 1}', None),
    ],
)
async def test_what_is_no_number_is_refused(client_of: ClientOf, world: World, body: str, message: str | None) -> None:
    response = await client_of("blue_lab").post(f"/jobs/{await world.job()}/kv", content=body)

    assert response.status_code == 400
    assert message is None or response.json()["payload"]["error"] == message
    assert await world.count("jobs_keys_values") == 0


@pytest.mark.parametrize(("who", "status"), [("alice", 201), ("epm", 201), ("bob", 401), ("reader", 401)])
async def test_only_the_team_adds_and_removes(client_of: ClientOf, world: World, who: str, status: int) -> None:
    job = await world.job()

    added = await client_of(who).post(f"/jobs/{job}/kv", json={"key": "k", "value": 1})
    removed = await client_of(who).request("DELETE", f"/jobs/{job}/kv", json={"key": "k"})

    assert (added.status_code, removed.status_code) == (status, 204 if status == 201 else 401)
