# SPDX-License-Identifier: Apache-2.0
import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dci_server.foundation.http import Application
from tests.conftest import ClientOf, World
from tests.signing import SignedBy

SMALL = 2_048
BIG = 300_000


def stored_objects(tmp_path: Path) -> list[str]:
    root = tmp_path / "files"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def upload(
    client: httpx.AsyncClient, component_id: str, content: bytes = b"abc", **headers: str
) -> dict[str, Any]:
    response = await client.post(f"/components/{component_id}/files", content=content, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()["component_file"]


async def blue_component(world: World) -> str:
    return await world.add(
        "components", name="b", type="rpm", topic_id=world.ids["RHEL-9.6"], team_id=world.ids["Blue"]
    )


@pytest.mark.parametrize("size", [0, 1, SMALL, BIG])
async def test_bytes_come_back_as_they_were_sent(client_of: ClientOf, world: World, tmp_path: Path, size: int) -> None:
    feeder, component_id = client_of("blue_feeder"), world.ids["compose"]
    content = bytes(n * 7 % 251 for n in range(size))

    file = await upload(feeder, component_id, content)

    assert (file["size"], file["name"], file["component_id"]) == (size, file["id"], component_id)
    assert (file["state"], file["mime"], file["md5"]) == ("active", "binary/octet-stream", None)
    assert len(file["etag"]) == 32
    assert stored_objects(tmp_path) == [f"components/{world.ids['RHEL-9.6']}/{component_id}/{file['id']}"]
    path = f"/components/{component_id}/files/{file['id']}"
    assert (await feeder.get(path)).json() == {"component_file": file}
    download, head = await feeder.get(path + "/content"), await feeder.head(path + "/content")
    assert (download.content, head.content) == (content, b"")
    for answered in (download, head):
        assert answered.status_code == 200
        assert answered.headers["content-length"] == str(size)
        assert answered.headers["content-type"] == "binary/octet-stream"
        assert answered.headers["cache-control"] == "private, no-store"
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert answered.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("application/x-xz", "application/x-xz"),
        ("application/json", "binary/octet-stream"),
        ("application/x-www-form-urlencoded", "binary/octet-stream"),
        ("multipart/form-data; boundary=x", "binary/octet-stream"),
        ("no type", "binary/octet-stream"),
        ("text/" + "x" * 300, "binary/octet-stream"),
        ("", "binary/octet-stream"),
    ],
)
async def test_a_media_type_that_says_something_is_kept(
    client_of: ClientOf, world: World, sent: str, kept: str
) -> None:
    epm, component_id = client_of("epm"), world.ids["compose"]

    file = await upload(epm, component_id, b"a=1&b=2", **{"Content-Type": sent})

    assert (file["mime"], file["size"]) == (kept, 7)
    content = await epm.get(f"/components/{component_id}/files/{file['id']}/content")
    assert (content.headers["content-type"], content.content) == (kept, b"a=1&b=2")


@pytest.mark.parametrize("size", [SMALL, BIG])
async def test_a_file_that_was_damaged_on_its_way_is_refused(
    client_of: ClientOf, world: World, tmp_path: Path, size: int
) -> None:
    feeder, component_id, content = client_of("blue_feeder"), world.ids["compose"], b"x" * size
    md5 = hashlib.md5(content).hexdigest()

    refused = await feeder.post(f"/components/{component_id}/files", content=content, headers={"DCI-MD5": "0" * 32})

    assert (refused.status_code, "DCI-MD5 says" in refused.text, md5 in refused.text) == (400, True, True)
    assert (stored_objects(tmp_path), await world.count("component_files")) == ([], 0)
    assert (await upload(feeder, component_id, content, **{"DCI-MD5": md5}))["md5"] == md5


async def test_a_body_without_length_is_streamed(client_of: ClientOf, world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"y" * 30_000

    response = await client_of("epm").post(f"/components/{world.ids['compose']}/files", content=chunks())

    assert (response.status_code, response.json()["component_file"]["size"]) == (201, 150_000)


@pytest.mark.parametrize("size", [SMALL, BIG])
async def test_a_signature_over_other_bytes_leaves_nothing(
    client_of: ClientOf, world: World, tmp_path: Path, size: int
) -> None:
    signed = SignedBy(f"feeder/{world.ids['blue_feeder']}", world.keys["blue_feeder"], signed_body=b"something else")

    response = await client_of("blue_feeder").post(
        f"/components/{world.ids['compose']}/files", content=b"x" * size, auth=signed
    )

    assert response.status_code == 401
    assert response.json()["message"] == "HmacMechanism failed: signature is invalid"
    assert (await world.count("component_files"), await world.count("objects_to_remove")) == (0, 0)
    assert stored_objects(tmp_path) == []


@pytest.mark.parametrize("size", [SMALL, BIG])
@pytest.mark.parametrize(
    ("who", "component", "status"),
    [
        ("epm", "global", 201),
        ("blue_feeder", "global", 201),
        ("alice", "global", 401),
        ("reader", "global", 401),
        ("blue_lab", "global", 401),
        ("alice", "blue", 201),
        ("blue_lab", "blue", 201),
        ("bob", "blue", 401),
        ("red_lab", "blue", 401),
        ("reader", "blue", 401),
        ("blue_lab", "absent", 404),
        ("alice", "absent", 404),
    ],
)
async def test_who_uploads_to_which_component(
    client_of: ClientOf, world: World, tmp_path: Path, who: str, component: str, status: int, size: int
) -> None:
    absent = "00000000-0000-4000-8000-000000000000"
    component_id = {"global": world.ids["compose"], "blue": await blue_component(world), "absent": absent}[component]

    response = await client_of(who).post(f"/components/{component_id}/files", content=b"x" * size)

    assert response.status_code == status
    stored = 1 if status == 201 else 0
    assert (await world.count("component_files"), len(stored_objects(tmp_path))) == (stored, stored)
    assert await world.count("objects_to_remove") == 0


@pytest.mark.parametrize("who", ["epm", "blue_feeder"])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_above_the_limit_is_refused(
    client_of: ClientOf, app: Application, world: World, tmp_path: Path, who: str, announced: bool
) -> None:
    assert app.services is not None
    app.services.max_upload_bytes = BIG - 1

    async def chunks() -> AsyncIterator[bytes]:
        yield b"y" * BIG

    content = b"y" * BIG if announced or who == "blue_feeder" else chunks()
    response = await client_of(who).post(f"/components/{world.ids['compose']}/files", content=content)

    assert response.status_code == 413
    assert stored_objects(tmp_path) == []


async def test_files_are_listed_by_the_list_parameters(client_of: ClientOf, world: World) -> None:
    epm, component_id = client_of("epm"), world.ids["compose"]
    files = [await upload(epm, component_id, b"x" * size) for size in (1, 2, 3)]
    await world.db.execute("update component_files set state = 'archived' where size = 2")
    path = f"/components/{component_id}/files"

    async def listed(query: str) -> tuple[list[int], int]:
        answered = (await epm.get(f"{path}?{query}")).json()
        return [file["size"] for file in answered["component_files"]], answered["_meta"]["count"]

    assert await listed("") == ([3, 1], 2)
    assert await listed("sort=created_at") == ([1, 3], 2)
    assert await listed("limit=1&offset=1") == ([1], 2)
    assert await listed("limit=1&offset=9") == ([], 2)
    assert await listed(f"where=name:{files[2]['id']},state:active") == ([3], 1)
    assert await listed("query=gt(size,1)") == ([3], 1)
    assert (await epm.get(f"{path}?where=key:x")).status_code == 400
    assert (await epm.get(f"{path}?limit=1")).status_code == 400


@pytest.mark.parametrize("call", ["", "/FILE", "/FILE/content", "/tree.txt"])
@pytest.mark.parametrize(
    ("who", "status"), [("alice", 200), ("blue_lab", 200), ("reader", 200), ("epm", 200), ("bob", 401), ("nobody", 401)]
)
async def test_who_reads_the_files_of_a_component_of_blue(
    client_of: ClientOf, world: World, tmp_path: Path, call: str, who: str, status: int
) -> None:
    component_id = await blue_component(world)
    file = await upload(client_of("alice"), component_id)
    tree = tmp_path / "files" / "components" / component_id
    tree.mkdir(parents=True)
    (tree / "tree.txt").write_bytes(b"leaf")

    response = await client_of(who).get(f"/components/{component_id}/files{call.replace('FILE', file['id'])}")

    assert response.status_code == status


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_file_is_not_reached_through_another_component(client_of: ClientOf, world: World, method: str) -> None:
    alice, blue = client_of("alice"), await blue_component(world)
    file = await upload(client_of("epm"), world.ids["compose"])

    for call in ("", "/content") if method == "GET" else ("",):
        path = f"/components/{blue}/files/{file['id']}{call}"
        response = await alice.request(method, path, headers={"If-match": file["etag"]})
        assert (response.status_code, response.json()["message"]) == (404, "component_file not found")

    assert await world.db.fetchval("select state from component_files") == "active"


async def test_a_file_that_the_store_lost_is_not_found(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    epm, component_id = client_of("epm"), world.ids["compose"]
    file = await upload(epm, component_id)
    (tmp_path / "files" / stored_objects(tmp_path)[0]).unlink()

    response = await epm.get(f"/components/{component_id}/files/{file['id']}/content")

    assert response.status_code == 404


async def test_a_file_stays_readable_when_its_component_moves(client_of: ClientOf, world: World) -> None:
    epm, component_id = client_of("epm"), world.ids["compose"]
    file = await upload(epm, component_id)
    other = await world.add("topics", name="other", product_id=world.ids["RHEL"])
    await world.db.execute("update components set topic_id = $1 where id = $2", other, component_id)

    assert (await epm.get(f"/components/{component_id}/files/{file['id']}/content")).content == b"abc"


@pytest.mark.parametrize("spelling", ["{}", '"{}"'])
@pytest.mark.parametrize("stored_with_quotes", [False, True])
async def test_a_deleted_file_is_gone(
    client_of: ClientOf, world: World, spelling: str, stored_with_quotes: bool
) -> None:
    """Imported files have etags with quotes around, as their store gave them."""
    feeder, component_id = client_of("blue_feeder"), world.ids["compose"]
    file = await upload(feeder, component_id)
    if stored_with_quotes:
        await world.db.execute("""update component_files set etag = '"' || etag || '"'""")
    path = f"/components/{component_id}/files"

    response = await feeder.delete(
        f"{path}/{file['id']}", headers={"If-match": spelling.format(file["etag"].strip('"'))}
    )

    assert (response.status_code, response.content) == (204, b"")
    for call in ("", "/content"):
        assert (await feeder.get(f"{path}/{file['id']}{call}")).json()["message"] == "component_file not found"
    assert (await feeder.get(path)).json() == {"component_files": [], "_meta": {"count": 0}}


async def test_of_ten_deletions_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    epm, component_id = client_of("epm"), world.ids["compose"]
    file = await upload(epm, component_id)
    path, headers = f"/components/{component_id}/files/{file['id']}", {"If-match": file["etag"]}

    responses = await asyncio.gather(*(epm.delete(path, headers=headers) for _ in range(10)))

    assert sorted(response.status_code for response in responses) == [204] + [404] * 9


@pytest.mark.parametrize(
    ("who", "component", "etag", "status", "message"),
    [
        ("bob", "absent", "", 412, "'If-match' header must be provided"),
        ("bob", "absent", "right", 404, "component not found"),
        ("bob", "blue", "stale", 401, "Operation not authorized."),
        ("reader", "blue", "right", 401, "Operation not authorized."),
        ("alice", "blue", "stale", 404, "component_file not found"),
        ("alice", "global", "right", 401, "Operation not authorized."),
        ("blue_lab", "blue", "right", 204, ""),
        ("epm", "blue", "right", 204, ""),
    ],
)
async def test_who_deletes_which_file(
    client_of: ClientOf, world: World, who: str, component: str, etag: str, status: int, message: str
) -> None:
    component_id = await blue_component(world) if component == "blue" else world.ids["compose"]
    file = await upload(client_of("epm"), component_id)
    addressed = "00000000-0000-4000-8000-000000000000" if component == "absent" else component_id
    value = {"right": file["etag"], "stale": "0" * 32}.get(etag, "")

    response = await client_of(who).delete(f"/components/{addressed}/files/{file['id']}", headers={"If-match": value})

    assert response.status_code == status
    assert (response.json()["message"] if response.content else "") == message
    state = await world.db.fetchval("select state from component_files")
    assert state == ("archived" if status == 204 else "active")


async def test_a_purge_gives_the_bytes_back(client_of: ClientOf, world: World, tmp_path: Path) -> None:
    admin, gone = client_of("admin"), await blue_component(world)
    await upload(admin, gone, b"x" * BIG)
    deleted = await upload(admin, world.ids["compose"])
    kept = await upload(admin, world.ids["compose"])
    await admin.delete(
        f"/components/{world.ids['compose']}/files/{deleted['id']}", headers={"If-match": deleted["etag"]}
    )
    etag = (await admin.get(f"/components/{gone}")).headers["etag"]
    await admin.delete(f"/components/{gone}", headers={"If-match": etag})
    assert len(stored_objects(tmp_path)) == 3

    listed = (await admin.get("/components/purge")).json()
    response = await admin.post("/components/purge")

    assert ([component["id"] for component in listed["components"]], listed["_meta"]) == ([gone], {"count": 1})
    assert (response.status_code, response.content) == (204, b"")
    assert [Path(name).name for name in stored_objects(tmp_path)] == [kept["id"]]
    assert (await world.count("components"), await world.count("component_files")) == (1, 1)
    assert await world.count("objects_to_remove") == 0


async def test_a_purged_topic_gives_the_bytes_of_its_components_back(
    client_of: ClientOf, world: World, tmp_path: Path
) -> None:
    admin = client_of("admin")
    await upload(admin, world.ids["compose"])
    topic = f"/topics/{world.ids['RHEL-9.6']}"
    await admin.delete(topic, headers={"If-match": (await admin.get(topic)).headers["etag"]})

    response = await admin.post("/topics/purge")

    assert response.status_code == 204
    assert stored_objects(tmp_path) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("who", ["epm", "reader", "blue_feeder"])
async def test_a_purge_of_components_is_for_super_admins(
    client_of: ClientOf, world: World, who: str, method: str
) -> None:
    await world.db.execute("update components set state = 'archived'")

    response = await client_of(who).request(method, "/components/purge")

    assert response.status_code == 401
    assert await world.count("components") == 1
