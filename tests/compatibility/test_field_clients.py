# SPDX-License-Identifier: Apache-2.0
"""Clients that can't be installed here, by the exchanges that the contract lists for each (clients.md §3 to §10)."""

import pytest

from tests.compatibility.exchanges import Exchange, found, play
from tests.conftest import ClientOf, World

JUNIT = b'<testsuite name="s"><testcase name="a" classname="c" time="1"/></testsuite>'


def upload(name: str, mime: str, content: bytes, status: int = 201, **headers: str) -> Exchange:
    return Exchange(
        "POST", "/files", status, content=content, needs=["file.id"] if status == 201 else [],
        headers={"DCI-NAME": name, "DCI-MIME": mime, "Content-Type": mime, **{k.replace("_", "-"): v for k, v in headers.items()}},
        keeps={"file": "file.id"} if status == 201 else {},
    )  # fmt: skip


def tagged(tag: str) -> list[Exchange]:
    """One tag at a time: read, then write all of them with the etag."""
    return [
        Exchange("GET", "/jobs/{job}", 200, needs=["job.tags"], keeps={"etag": "job.etag"}),
        Exchange("PUT", "/jobs/{job}", 200, body={"tags": [tag]}, headers={"If-match": "{etag}"}, needs=["job.etag"]),
    ]


async def test_the_ansible_callback(client_of: ClientOf, world: World) -> None:
    new = {"topic_id": world.ids["RHEL-9.6"]}
    await play(client_of("blue_lab"), [
        Exchange("POST", "/jobs/schedule", 201, body=new, needs=["job.id"], keeps={"job": "job.id"}),
        Exchange("GET", "/jobs/{job}?embed=topic,remoteci,components", 200, needs=["job.components[0].id", "job.topic.name"]),
        Exchange("POST", "/jobstates", 201, body={"job_id": "{job}", "status": "new", "comment": "start"},
                 needs=["jobstate.id"], keeps={"state": "jobstate.id"}),
        upload("failed/Install the packages", "application/x-ansible-output", b" ", DCI_JOB_ID="{job}", DCI_JOBSTATE_ID="{state}"),
        upload("x" * 255, "application/x-ansible-output", b"ok", DCI_JOB_ID="{job}", DCI_JOBSTATE_ID="{state}"),
        Exchange("POST", "/jobstates", 201, body={"job_id": "{job}", "status": "failure", "comment": None},
                 is_={"jobstate.status": "error"}),
        Exchange("GET", "/jobs/{job}", 200, is_={"job.status": "failure"}),
    ])  # fmt: skip


async def test_an_ansible_module_finds_what_is_there_already(client_of: ClientOf, world: World) -> None:
    product = world.ids["RHEL"]
    for path, plural, body in (
        ("/teams", "teams", {"name": "Lab"}),
        ("/products", "products", {"name": "Extra"}),
        ("/topics", "topics", {"name": "Extra-1", "product_id": product, "component_types": ["x"]}),
        ("/users", "users", {"name": "carol", "email": "carol@example.org", "password": "long enough"}),
        ("/remotecis", "remotecis", {"name": "lab", "team_id": world.ids["Blue"]}),
        ("/feeders", "feeders", {"name": "feed", "team_id": world.ids["Blue"]}),
    ):
        singular = plural[:-1]
        await play(client_of("admin"), [
            Exchange("POST", path, 201, body=body, needs=[f"{singular}.id", f"{singular}.etag"]),
            Exchange("POST", path, 409, body=body, needs=["message", "payload.error"]),
            Exchange("GET", f"{path}?where=name:{body['name']}", 200, needs=[f"{plural}[0].id", f"{plural}[0].etag"],
                     keeps={"id": f"{plural}[0].id", "etag": f"{plural}[0].etag"}),
            Exchange("PUT", path + "/{id}", 200, body={"state": "inactive"}, headers={"If-match": "{etag}"},
                     keeps={"etag": f"{singular}.etag"}, is_={f"{singular}.state": "inactive"}),
            Exchange("DELETE", path + "/{id}", 204, headers={"If-match": "{etag}"}),
        ])  # fmt: skip


async def test_the_pipeline_runner(client_of: ClientOf, world: World) -> None:
    lab, topic = client_of("blue_lab"), world.ids["RHEL-9.6"]
    identity = (await lab.get("/identity")).json()["identity"]
    (team,) = identity["teams"]
    query = "and(eq(state,active),eq(type,compose),or(contains(tags,build:dev),eq(version,9.6.0-1)))"
    known = await play(lab, [
        Exchange("POST", "/pipelines", 201, body={"name": "nightly", "team_id": team}, needs=["pipeline.id"],
                 keeps={"pipeline": "pipeline.id"}),
        Exchange("GET", "/topics?where=name:RHEL-9.6", 200, needs=["topics[0].id", "topics[0].name"]),
        Exchange("GET", f"/topics/{topic}/components?limit=1&offset=0&sort=-released_at&query={query}", 200,
                 needs=["_meta.count", "components[0].type", "components[0].version", "components[0].name"],
                 keeps={"component": "components[0].id"}),
        Exchange("GET", f"/topics/{topic}/components?sort=-created_at&where=type:compose&created_after=2020-01-01T00:00:00.000000",
                 200, needs=["components[0].id"]),
        Exchange("POST", "/jobs", 201, needs=["job.id"], keeps={"job": "job.id"},
                 body={"topic_id": topic, "comment": "c", "name": "stage", "configuration": "", "url": "",
                       "components": ["{component}"], "data": {"pipeline": {"name": "nightly"}},
                       "previous_job_id": None, "pipeline_id": "{pipeline}"}),
        Exchange("GET", "/jobs/{job}?embed=topic,remoteci,components", 200,
                 is_={"job.components[].id": "{component}", "job.data.pipeline.name": "nightly", "job.pipeline.name": "nightly"}),
        Exchange("POST", "/jobstates", 201, body={"job_id": "{job}", "status": "new", "comment": ""}),
        *tagged("stage:test"),
        upload("ansible.log", "text/plain", b"log", DCI_JOB_ID="{job}"),
        upload("results", "application/junit", JUNIT, DCI_JOB_ID="{job}"),
        Exchange("POST", "/jobstates", 201, body={"job_id": "{job}", "status": "running", "comment": ""}),
        Exchange("GET", "/jobs/{job}/jobstates", 200, needs=["jobstates[0].created_at"]),
        Exchange("GET", "/jobs?where=pipeline_id:{pipeline}&sort=created_at", 200, is_={"jobs[].id": "{job}"}),
        Exchange("GET", "/pipelines?where=name:nightly", 200, is_={"pipelines[].id": "{pipeline}"}),
        # success_tag: only the tags of a global component, by somebody who may use the topic
        Exchange("GET", "/components/{component}", 200, needs=["component.tags"], keeps={"etag": "component.etag"}),
        Exchange("PUT", "/components/{component}", 200, body={"tags": ["success:nightly"]}, headers={"If-match": "{etag}"}),
    ])  # fmt: skip

    states = (await lab.get(f"/jobs/{known['job']}/jobstates")).json()["jobstates"]
    assert [state["status"] for state in states] == ["running", "new"]


async def test_the_openshift_agent(client_of: ClientOf, world: World) -> None:
    topic, team = world.ids["RHEL-9.6"], world.ids["Blue"]
    component = {"display_name": "ocp 4.18.1", "version": "4.18.1", "type": "ocp", "topic_id": topic, "team_id": team,
                 "tags": ["sha256:abc"], "data": {"pull_url": "quay.io/x"}}  # fmt: skip
    job = await world.job()
    await play(client_of("blue_lab"), [
        *tagged("agent:openshift"),
        Exchange("POST", "/jobs/{job}/kv", 201, body={"key": "workarounds", "value": 2}, needs=["kv"]),
        Exchange("POST", "/components", 201, body=component, needs=["component.id"], keeps={"component": "component.id"}),
        Exchange("POST", "/components", 409, body=component, needs=["payload.error"]),
        Exchange("GET", f"/topics/{topic}/components?where=tags:sha256:abc", 200, is_={"components[].id": "{component}"}),
        Exchange("POST", "/jobs/{job}/components", 201, body={"id": "{component}"}),
        Exchange("DELETE", "/jobs/{job}/components/{component}", 201),
        Exchange("GET", "/jobs/{job}", 200, keeps={"etag": "job.etag"}),
        Exchange("PUT", "/jobs/{job}", 200, body={"topic": "no such topic", "comment": "x"}, headers={"If-match": "{etag}"}),
        upload("must gather.tar.gz", "application/x-gzip", b"\x1f\x8b" + bytes(100_000), DCI_JOB_ID="{job}"),
    ], job=job)  # fmt: skip


async def test_the_downloader(client_of: ClientOf, world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    lab, topic = client_of("blue_lab"), world.ids["RHEL-9.6"]
    await play(lab, [
        Exchange("GET", "/topics?where=name:RHEL-9.6,state:active", 200, needs=["topics[0].id", "topics[0].component_types"]),
        Exchange("GET", f"/topics/{topic}/components?limit=1&offset=0&sort=-created_at&where=type:compose,state:active", 200,
                 needs=["components[0].id", "components[0].name", "components[0].type"], keeps={"component": "components[0].id"}),
        Exchange("GET", "/components/{component}", 200, needs=["component.name", "component.tags"]),
        Exchange("GET", "/components/{component}/files/images_list.yaml", 404),
    ])  # fmt: skip


async def test_the_mcp_server(client_of: ClientOf, world: World) -> None:
    await world.job()
    alice = client_of("alice")
    for plural in ("components", "teams", "remotecis", "topics", "products", "pipelines"):
        query = "ilike(name,%25)" if plural != "pipelines" else "eq(state,active)"
        await play(alice, [
            Exchange("GET", f"/{plural}?query={query}&limit=200&offset=0&sort=-created_at", 200, needs=["_meta.count", plural]),
        ])  # fmt: skip


async def test_the_screens(client_of: ClientOf, world: World) -> None:
    job, alice = await world.job(), client_of("alice")
    scope = {"X-Dci-Team-Id": world.ids["Blue"]}
    await play(client_of("blue_lab"), [upload("results", "application/junit", JUNIT, DCI_JOB_ID=job)])
    known = await play(alice, [
        Exchange("GET", "/identity", 200, needs=["identity.id", "identity.etag", "identity.timezone", "identity.teams"]),
        Exchange("GET", "/jobs?limit=20&offset=0&sort=-created_at&where=state:active", 200, headers=scope,
                 needs=["_meta.count", "jobs[0].components", "jobs[0].results", "jobs[0].keys_values", "jobs[0].remoteci",
                        "jobs[0].topic", "jobs[0].team", "jobs[0].pipeline", "jobs[0].tags", "jobs[0].previous_job_id",
                        "jobs[0].duration", "jobs[0].product_id"]),
        Exchange("GET", "/jobs/{job}", 200, headers=scope, keeps={"etag": "job.etag"}, is_={"job.files[].jobstate_id": None}),
        Exchange("GET", "/jobs/{job}/results", 200, headers=scope, keeps={"file": "results[0].file_id"},
                 needs=[f"results[0].{name}" for name in ("name", "total", "success", "failures", "errors", "skips",
                                                          "regressions", "successfixes", "time")]),
        Exchange("GET", "/files/{file}/junit", 200, headers=scope,
                 needs=["job", "testsuites[0].properties", "testsuites[0].additions", "testsuites[0].testcases[0].state"]),
        Exchange("GET", "/topics?limit=100&offset=0&where=name:rhel*", 200, needs=["topics[0].product.name"]),
        Exchange("GET", "/remotecis?limit=20&offset=0&where=name:blue*", 200, needs=["remotecis[0].team.name"]),
        Exchange("POST", f"/remotecis/{world.ids['blue_lab']}/users", 201, body={"id": "whole user object"}),
        Exchange("GET", f"/users/{world.ids['user alice']}/remotecis", 200, needs=["remotecis[0].id"]),
        Exchange("DELETE", f"/remotecis/{world.ids['blue_lab']}/users/{world.ids['user alice']}", 204),
        Exchange("POST", f"/topics/{world.ids['RHEL-9.6']}/notifications", 201, body={}),
        Exchange("GET", "/topics/notifications", 200, needs=["topics[0].id"]),
        Exchange("DELETE", f"/topics/{world.ids['RHEL-9.6']}/notifications", 204),
    ], job=job)  # fmt: skip

    whole = (await alice.get(f"/jobs/{job}")).json()["job"]
    saved = await alice.put(f"/jobs/{job}", json={**whole, "comment": "seen"}, headers={"If-match": known["etag"]})
    assert saved.status_code == 200


async def test_the_screens_of_administrators(client_of: ClientOf, world: World) -> None:
    blue, red, alice = world.ids["Blue"], world.ids["Red"], world.ids["user alice"]
    await play(client_of("admin"), [
        *(Exchange("GET", f"/teams/{blue}/{part}", 200, needs=["_meta.count"])
          for part in ("users", "products", "remotecis", "permissions/components")),
        Exchange("POST", f"/teams/{red}/users/{alice}", 201),
        Exchange("DELETE", f"/teams/{red}/users/{alice}", 204),
        Exchange("POST", f"/products/{world.ids['RHEL']}/teams", 201, body={"team_id": blue}),
        Exchange("POST", f"/teams/{blue}/permissions/components", 201, body={"teams_ids": [red]}),
        Exchange("DELETE", f"/teams/{blue}/permissions/components", 204, body={"teams_ids": [red]}),
        Exchange("GET", "/users/?where=email:alice*", 200, needs=["users[0].id", "users[0].team", "users[0].last_auth_at"]),
        Exchange("GET", f"/users/{alice}", 200, keeps={"etag": "user.etag"}, is_={"user.sso_username": ""}),
        Exchange("GET", f"/users/{alice}/teams", 200, needs=["teams[0].id"]),
        Exchange("PUT", f"/users/{alice}", 200, body={"sso_username": "alice", "fullname": "Alice"}, headers={"If-match": "{etag}"}),
        Exchange("GET", "/feeders?limit=20&offset=0", 200, needs=["feeders[0].id", "feeders[0].last_auth_at"]),
    ])  # fmt: skip


async def test_the_analytics_companion_reads_contents_by_the_second_version(client_of: ClientOf, world: World) -> None:
    job, lab = await world.job(), client_of("blue_lab")
    known = await play(lab, [upload("results", "application/junit", JUNIT, DCI_JOB_ID=job)])

    response = await lab.get(f"http://dci.test/api/v2/files/{known['file']}/content")

    assert (response.status_code, response.content) == (200, JUNIT)


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/api/v1/"), ("GET", "/api/v1"), ("GET", "/api/v2/")])
async def test_probes_need_no_identity(client_of: ClientOf, method: str, path: str) -> None:
    assert (await client_of("stranger").request(method, f"http://dci.test{path}")).status_code == 200


async def test_provisioning_twice_finds_what_the_first_time_made(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    steps = [
        ("/products", {"name": "OpenStack", "label": "OPENSTACK", "description": "d"}),
        ("/teams", {"name": "partner", "country": "FR"}),
        ("/users", {"name": "partner", "fullname": "P", "email": "partner@example.org", "password": "partner"}),
    ]
    for expected in (201, 409):
        for path, body in steps:
            assert (await admin.post(path, json=body)).status_code == expected
            listed = (await admin.get(path, params={"where": f"name:{body['name']}"})).json()
            assert len(found(listed, f"{path[1:]}[].id")) == 1
