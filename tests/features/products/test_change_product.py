# SPDX-License-Identifier: Apache-2.0
import asyncio

import httpx
import pytest

from tests.conftest import ClientOf, World


async def product_of(client: httpx.AsyncClient, world: World) -> dict[str, object]:
    return (await client.get(f"/products/{world.ids['RHEL']}")).json()["product"]


async def test_what_is_named_changes_and_a_label_is_upper_cased(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    before = await product_of(admin, world)

    response = await admin.put(
        f"/products/{world.ids['RHEL']}", json={"label": "rhel ten"}, headers={"If-match": str(before["etag"])}
    )

    assert response.status_code == 200
    after = response.json()["product"]
    assert (after["label"], after["name"]) == ("RHEL TEN", "RHEL")
    assert response.headers["etag"] == after["etag"] != before["etag"]
    assert "topics" not in after
    assert {**after, "topics": before["topics"]} == await product_of(admin, world)


async def test_a_whole_product_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    admin, path = client_of("admin"), f"/products/{world.ids['RHEL']}"
    await admin.put(
        path, json={"description": "d"}, headers={"If-match": str((await product_of(admin, world))["etag"])}
    )
    whole = await product_of(admin, world)
    forged: dict[str, object] = {
        "id": world.ids["Blue"],
        "etag": "0" * 32,
        "created_at": "2020-01-01T00:00:00",
        "topics": [],
    }

    response = await admin.put(path, json={**whole, **forged}, headers={"If-match": str(whole["etag"])})

    assert response.status_code == 200
    after = await product_of(admin, world)
    changed = {"etag", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in whole.items() if k not in changed}
    assert after["etag"] != "0" * 32


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    etag = str((await product_of(admin, world))["etag"])

    responses = await asyncio.gather(
        *(
            admin.put(f"/products/{world.ids['RHEL']}", json={"name": f"n{number}"}, headers={"If-match": etag})
            for number in range(10)
        )
    )

    assert sorted(response.status_code for response in responses) == [200] + [404] * 9
    (winner,) = [response.json()["product"] for response in responses if response.status_code == 200]
    assert (await product_of(admin, world))["name"] == winner["name"]


@pytest.mark.parametrize(
    ("who", "etag", "body", "status", "message"),
    [
        ("epm", None, {}, 401, "Operation not authorized."),
        ("alice", None, {}, 401, "Operation not authorized."),
        ("admin", None, {"name": 1}, 412, "'If-match' header must be provided"),
        ("admin", "stale", {"name": 1}, 400, "Request malformed"),
        ("admin", "stale", {"name": None}, 400, "Request malformed"),
        ("admin", "stale", {"state": "asleep"}, 400, "Request malformed"),
        ("admin", "stale", {"name": "n" * 256}, 400, "name has more than 255 characters"),
        ("admin", "stale", {"name": "n"}, 404, "product not found"),
        ("admin", "right", {"label": "other"}, 409, "We are unable to update this resource. A similar resource"),
    ],
)
async def test_refusals_of_a_change_come_in_order(
    client_of: ClientOf, world: World, who: str, etag: str | None, body: dict[str, object], status: int, message: str
) -> None:
    await world.add("products", name="other", label="OTHER")
    before = await product_of(client_of("admin"), world)
    value = {"right": str(before["etag"]), "stale": "0" * 32}.get(etag or "", "")

    response = await client_of(who).put(f"/products/{world.ids['RHEL']}", json=body, headers={"If-match": value})

    assert response.status_code == status
    assert response.json()["message"].startswith(message)
    assert await product_of(client_of("admin"), world) == before


async def test_a_deleted_product_is_gone_and_keeps_its_topics(client_of: ClientOf, world: World) -> None:
    admin, path = client_of("admin"), f"/products/{world.ids['RHEL']}"

    response = await admin.delete(path, headers={"If-match": str((await product_of(admin, world))["etag"])})

    assert (response.status_code, response.content) == (204, b"")
    assert (await admin.get(path)).status_code == 404
    assert (await admin.get("/products")).json()["products"] == []
    topic = f"/topics/{world.ids['RHEL-9.6']}"
    assert (await admin.get(topic)).json()["topic"]["product"]["state"] == "archived"
    refused = await client_of("alice").get(topic)
    assert (refused.status_code, refused.json()["message"]) == (404, "product not found")


async def test_archiving_by_put_does_what_delete_does(client_of: ClientOf, world: World) -> None:
    admin, path = client_of("admin"), f"/products/{world.ids['RHEL']}"
    etag = str((await product_of(admin, world))["etag"])

    response = await admin.put(path, json={"state": "archived"}, headers={"If-match": etag})

    assert response.status_code == 200
    assert response.json()["product"]["state"] == "archived"
    assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("who", "etag", "status", "message"),
    [
        ("epm", "", 412, "'If-match' header must be provided"),
        ("epm", "0" * 32, 401, "Operation not authorized."),
        ("admin", "0" * 32, 409, "delete failed, check etag"),
    ],
)
async def test_refusals_of_a_deletion_come_in_order(
    client_of: ClientOf, world: World, who: str, etag: str, status: int, message: str
) -> None:
    response = await client_of(who).delete(f"/products/{world.ids['RHEL']}", headers={"If-match": etag})

    assert (response.status_code, response.json()["message"]) == (status, message)
    assert (await client_of("admin").get(f"/products/{world.ids['RHEL']}")).status_code == 200


async def test_an_archived_product_is_not_found_again(client_of: ClientOf, world: World) -> None:
    admin, path = client_of("admin"), f"/products/{world.ids['RHEL']}"
    etag = str((await product_of(admin, world))["etag"])
    await world.db.execute("update products set state = 'archived'")

    statuses = [
        (await admin.put(path, json={"name": "n"}, headers={"If-match": etag})).status_code,
        (await admin.delete(path, headers={"If-match": etag})).status_code,
    ]

    assert statuses == [404, 404]


async def test_an_archived_topic_is_not_among_a_products_topics(client_of: ClientOf, world: World) -> None:
    await world.add("topics", name="old", product_id=world.ids["RHEL"], export_control=True, state="archived")

    (product,) = (await client_of("alice").get("/products")).json()["products"]

    assert [topic["name"] for topic in product["topics"]] == ["RHEL-9.6"]
