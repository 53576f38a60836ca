# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from tests.conftest import ClientOf, World


async def test_a_whole_job_can_be_sent_back(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    job = (await alice.get(f"/jobs/{await world.job()}")).json()["job"]

    response = await alice.put(
        f"/jobs/{job['id']}", json={**job, "comment": "seen", "tags": ["x", " "]}, headers={"If-match": job["etag"]}
    )

    assert response.status_code == 200
    changed = response.json()["job"]
    assert (changed["comment"], changed["tags"]) == ("seen", ["x"])
    assert changed["etag"] != job["etag"]
    assert response.headers["etag"] == changed["etag"]


async def test_of_ten_writers_with_one_etag_one_wins(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    job = (await alice.get(f"/jobs/{await world.job()}")).json()["job"]

    answers = await asyncio.gather(
        *(
            alice.put(f"/jobs/{job['id']}", json={"comment": str(n)}, headers={"If-match": job["etag"]})
            for n in range(10)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 9


async def test_an_upload_does_not_make_a_tag_writer_lose(client_of: ClientOf, world: World) -> None:
    lab = client_of("blue_lab")
    job = (await lab.get(f"/jobs/{await world.job()}")).json()["job"]
    await lab.post("/files", content=b"log", headers={"DCI-NAME": "log", "DCI-JOB-ID": job["id"]})
    between = (await lab.get(f"/jobs/{job['id']}")).json()["job"]

    response = await lab.put(f"/jobs/{job['id']}", json={"tags": ["x"]}, headers={"If-match": job["etag"]})

    assert between["etag"] != job["etag"]
    assert response.status_code == 200


async def test_another_status_is_a_jobstate(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    job = (await alice.get(f"/jobs/{await world.job()}")).json()["job"]

    await alice.put(f"/jobs/{job['id']}", json={"status": "killed"}, headers={"If-match": job["etag"]})

    states = (await alice.get(f"/jobs/{job['id']}/jobstates")).json()["jobstates"]
    assert [state["status"] for state in states] == ["killed"]


@pytest.mark.parametrize(
    ("who", "status"), [("alice", 200), ("admin", 200), ("epm", 200), ("reader", 401), ("bob", 401), ("red_lab", 401)]
)
async def test_who_changes_a_blue_job(client_of: ClientOf, world: World, who: str, status: int) -> None:
    job = (await client_of("admin").get(f"/jobs/{await world.job()}")).json()["job"]

    response = await client_of(who).put(f"/jobs/{job['id']}", json={"comment": "x"}, headers={"If-match": job["etag"]})

    assert response.status_code == status


async def test_without_if_match_nothing_is_written(client_of: ClientOf, world: World) -> None:
    response = await client_of("alice").put(f"/jobs/{await world.job()}", json={"comment": "x"})

    assert response.status_code == 412
    assert response.json()["message"] == "'If-match' header must be provided"


async def test_a_job_moves_to_a_topic_by_name_when_its_caller_may_use_it(client_of: ClientOf, world: World) -> None:
    other = await world.add("topics", name="RHEL-10.0", product_id=world.ids["RHEL"], export_control=True)
    alice = client_of("alice")
    job = (await alice.get(f"/jobs/{await world.job()}")).json()["job"]

    moved = await alice.put(f"/jobs/{job['id']}", json={"topic": "RHEL-10.0"}, headers={"If-match": job["etag"]})
    ignored = await alice.put(
        f"/jobs/{job['id']}", json={"topic": "nowhere"}, headers={"If-match": moved.json()["job"]["etag"]}
    )

    assert moved.json()["job"]["topic_id"] == other
    assert ignored.json()["job"]["topic_id"] == other


@pytest.mark.parametrize("way", ["DELETE", "PUT"])
async def test_a_deleted_job_is_gone_with_its_files(client_of: ClientOf, world: World, way: str) -> None:
    alice = client_of("alice")
    job = (await alice.get(f"/jobs/{await world.job()}")).json()["job"]
    upload = await alice.post("/files", content=b"x", headers={"DCI-NAME": "x", "DCI-JOB-ID": job["id"]})
    file_id = upload.json()["file"]["id"]

    response = await alice.request(
        way, f"/jobs/{job['id']}", json={"state": "archived"}, headers={"If-match": job["etag"]}
    )

    assert response.status_code == (204 if way == "DELETE" else 200)
    assert (await alice.get(f"/jobs/{job['id']}")).status_code == 404
    assert (await alice.get(f"/files/{file_id}")).status_code == 404


async def test_a_bad_etag_does_not_delete(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    job = await world.job()

    response = await alice.delete(f"/jobs/{job}", headers={"If-match": "0" * 32})

    assert response.status_code == 404
    assert (await alice.get(f"/jobs/{job}")).status_code == 200
