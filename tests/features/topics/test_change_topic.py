# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import ClientOf, World


async def topic_of(client: httpx.AsyncClient, topic_id: str) -> dict[str, Any]:
    return (await client.get(f"/topics/{topic_id}")).json()["topic"]


async def put(
    client: httpx.AsyncClient, topic_id: str, body: dict[str, Any], etag: str | None = None
) -> httpx.Response:
    value = etag if etag is not None else (await topic_of(client, topic_id))["etag"]
    return await client.put(f"/topics/{topic_id}", json=body, headers={"If-match": value})


async def test_what_is_named_changes(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    before = await topic_of(epm, topic_id)
    changes: dict[str, Any] = {
        "name": "RHEL-9.7",
        "component_types": ["Compose", "HWCERT"],
        "component_types_optional": [{"a": 1}, "B"],
        "export_control": False,
        "data": {"pull_secret": {"auths": {}}},
        "state": "inactive",
    }

    response = await put(epm, topic_id, changes)

    assert response.status_code == 200
    after = response.json()["topic"]
    assert {name: after[name] for name in changes} == {**changes, "component_types": ["compose", "hwcert"]}
    assert response.headers["etag"] == after["etag"] != before["etag"]
    assert not {"product", "next_topic"} & after.keys()


async def test_what_is_not_named_stays(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    before = await topic_of(epm, topic_id)

    await put(epm, topic_id, {"data": {"a": 1}})

    after = await topic_of(epm, topic_id)
    changed = {"data", "etag", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}


async def test_a_whole_topic_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    await world.db.execute(
        "update topics set next_topic_id = $1 where id = $2",
        await world.add("topics", name="RHEL-10", product_id=world.ids["RHEL"]),
        topic_id,
    )
    whole = await topic_of(epm, topic_id)
    forged = {"id": world.ids["Blue"], "etag": "0" * 32, "created_at": "2020-01-01T00:00:00"}

    response = await put(epm, topic_id, {**whole, **forged}, whole["etag"])

    assert response.status_code == 200
    after = await topic_of(epm, topic_id)
    changed = {"etag", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in whole.items() if k not in changed}
    assert after["etag"] != "0" * 32


async def test_a_next_topic_is_embedded_and_can_be_taken_away(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    following = await world.add("topics", name="RHEL-10", product_id=world.ids["RHEL"])

    linked = await put(epm, topic_id, {"next_topic_id": following})
    embedded = (await topic_of(epm, topic_id))["next_topic"]
    unlinked = await put(epm, topic_id, {"next_topic_id": None})

    assert linked.json()["topic"]["next_topic_id"] == following
    assert embedded["name"] == "RHEL-10"
    assert unlinked.json()["topic"]["next_topic_id"] is None


@pytest.mark.parametrize(
    ("who", "exported", "shown"),
    [("alice", False, {}), ("alice", True, {"pull_secret": "s"}), ("epm", False, {"pull_secret": "s"})],
)
async def test_the_data_of_the_next_topic_is_for_those_who_may_use_it(
    client_of: ClientOf, world: World, who: str, exported: bool, shown: dict[str, str]
) -> None:
    following = await world.add(
        "topics",
        name="RHEL-10",
        product_id=world.ids["RHEL"],
        export_control=exported,
        data='{"pull_secret": "s"}',
    )
    await world.db.execute("update topics set next_topic_id = $1 where id = $2", following, world.ids["RHEL-9.6"])

    alone = await topic_of(client_of(who), world.ids["RHEL-9.6"])
    listed = (await client_of(who).get("/topics?where=name:RHEL-9.6")).json()["topics"]

    assert [topic["next_topic"]["data"] for topic in (alone, *listed)] == [shown, shown]
    assert alone["next_topic"]["name"] == "RHEL-10"


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    etag = (await topic_of(epm, topic_id))["etag"]

    responses = await asyncio.gather(*(put(epm, topic_id, {"name": f"n{number}"}, etag) for number in range(10)))

    assert sorted(response.status_code for response in responses) == [200] + [404] * 9
    (winner,) = [response.json()["topic"] for response in responses if response.status_code == 200]
    assert (await topic_of(epm, topic_id))["name"] == winner["name"]


@pytest.mark.parametrize("length", [0, 1, 2, 5])
async def test_next_topics_that_lead_back_are_refused(client_of: ClientOf, world: World, length: int) -> None:
    """A chain of topics of this length lies between the topic and itself."""
    epm, first = client_of("epm"), world.ids["RHEL-9.6"]
    last = first
    for number in range(length):
        last = await world.add("topics", name=f"t{number}", product_id=world.ids["RHEL"], next_topic_id=last)

    response = await put(epm, first, {"next_topic_id": last})

    assert response.status_code == 400
    assert "next_topic_id leads back to this topic" in response.json()["message"]
    assert (await topic_of(epm, first))["next_topic_id"] is None
    assert (await epm.get("/topics")).status_code == 200


async def test_concurrent_links_make_no_cycle(client_of: ClientOf, world: World) -> None:
    epm = client_of("epm")
    ring = [await world.add("topics", name=f"t{number}", product_id=world.ids["RHEL"]) for number in range(6)]
    etags = [(await topic_of(epm, topic_id))["etag"] for topic_id in ring]

    responses = await asyncio.gather(
        *(
            put(epm, topic_id, {"next_topic_id": ring[(number + 1) % len(ring)]}, etag)
            for number, (topic_id, etag) in enumerate(zip(ring, etags, strict=True))
        )
    )

    assert sorted(response.status_code for response in responses) == [200] * 5 + [400]
    assert await world.db.fetchval("select count(next_topic_id) from topics") == 5


async def test_a_cycle_that_is_there_already_is_read_and_can_be_mended(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    other = await world.add("topics", name="other", product_id=world.ids["RHEL"], next_topic_id=topic_id)
    outside = await world.add("topics", name="outside", product_id=world.ids["RHEL"])
    await world.db.execute("update topics set next_topic_id = $1 where id = $2", other, topic_id)

    into_it = await put(epm, outside, {"next_topic_id": topic_id})
    listed = await epm.get("/topics")
    mended = await put(epm, topic_id, {"next_topic_id": None})

    assert (into_it.status_code, listed.status_code, mended.status_code) == (200, 200, 200)


@pytest.mark.parametrize(
    ("who", "etag", "body", "status", "message"),
    [
        ("reader", "", {}, 401, "Operation not authorized."),
        ("alice", "", {}, 401, "Operation not authorized."),
        ("blue_lab", "", {}, 401, "Operation not authorized."),
        ("epm", "", {"name": 1}, 412, "'If-match' header must be provided"),
        ("epm", "stale", {"name": 1}, 404, "topic not found"),
        ("epm", "right", {"name": 1}, 400, "Request malformed"),
        ("epm", "right", {"data": None}, 400, "Request malformed"),
        ("epm", "right", {"component_types": ["a", 1]}, 400, "Request malformed"),
        ("epm", "right", {"name": "n" * 256}, 400, "name has more than 255 characters"),
        ("epm", "right", {"name": "other"}, 409, "We are unable to update this resource. A similar resource"),
        ("epm", "right", {"product_id": "00000000-0000-4000-8000-000000000000"}, 409, "We are unable to update"),
        ("epm", "right", {"next_topic_id": "00000000-0000-4000-8000-000000000000"}, 409, "We are unable to update"),
    ],
)
async def test_refusals_of_a_change_come_in_order(
    client_of: ClientOf, world: World, who: str, etag: str, body: dict[str, Any], status: int, message: str
) -> None:
    await world.add("topics", name="other", product_id=world.ids["RHEL"])
    topic_id = world.ids["RHEL-9.6"]
    before = await topic_of(client_of("admin"), topic_id)
    value = {"right": before["etag"], "stale": "0" * 32}.get(etag, "")

    response = await put(client_of(who), topic_id, body, value)

    assert response.status_code == status
    assert response.json()["message"].startswith(message)
    assert await topic_of(client_of("admin"), topic_id) == before


async def test_a_deleted_topic_takes_its_components_with_it(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    elsewhere = await world.add("topics", name="other", product_id=world.ids["RHEL"])
    kept = await world.add("components", name="kept", type="compose", topic_id=elsewhere)

    response = await epm.delete(f"/topics/{topic_id}", headers={"If-match": (await topic_of(epm, topic_id))["etag"]})

    assert (response.status_code, response.content) == (204, b"")
    assert (await epm.get(f"/topics/{topic_id}")).json()["message"] == "topic not found"
    assert (await epm.get(f"/components/{world.ids['compose']}")).json()["message"] == "component not found"
    assert (await epm.get(f"/components/{kept}")).status_code == 200


async def test_archiving_by_put_does_what_delete_does(client_of: ClientOf, world: World) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]

    response = await put(epm, topic_id, {"state": "archived"})

    assert response.status_code == 200
    assert response.json()["topic"]["state"] == "archived"
    assert (await epm.get(f"/components/{world.ids['compose']}")).status_code == 404


@pytest.mark.parametrize(
    ("who", "etag", "status"),
    [("blue_feeder", "right", 401), ("reader", "right", 401), ("alice", "", 401), ("epm", "", 412), ("epm", "0", 404)],
)
async def test_refusals_of_a_deletion_come_in_order(
    client_of: ClientOf, world: World, who: str, etag: str, status: int
) -> None:
    topic_id = world.ids["RHEL-9.6"]
    right = (await topic_of(client_of("admin"), topic_id))["etag"]

    response = await client_of(who).delete(
        f"/topics/{topic_id}", headers={"If-match": right if etag == "right" else etag}
    )

    assert response.status_code == status
    assert (await client_of("admin").get(f"/topics/{topic_id}")).status_code == 200


async def test_a_feeder_changes_a_topic_but_cannot_archive_it(client_of: ClientOf, world: World) -> None:
    feeder, topic_id = client_of("blue_feeder"), world.ids["RHEL-9.6"]

    statuses = [(await put(feeder, topic_id, {"state": state})).status_code for state in ("inactive", "archived")]

    assert statuses == [200, 401]
    assert (await topic_of(feeder, topic_id))["state"] == "inactive"


async def test_a_component_that_arrives_while_its_topic_is_deleted_does_not_outlive_it(
    client_of: ClientOf, world: World
) -> None:
    epm, topic_id = client_of("epm"), world.ids["RHEL-9.6"]
    etag = (await topic_of(epm, topic_id))["etag"]

    created, deleted = await asyncio.gather(
        asyncio.gather(
            *(
                epm.post("/components", json={"name": f"c{number}", "type": "compose", "topic_id": topic_id})
                for number in range(8)
            )
        ),
        epm.delete(f"/topics/{topic_id}", headers={"If-match": etag}),
    )

    assert deleted.status_code == 204
    assert {response.status_code for response in created} <= {201, 404}
    assert await world.db.fetchval("select count(*) from components where state <> 'archived'") == 0
