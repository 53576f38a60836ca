# SPDX-License-Identifier: Apache-2.0
"""Jobs, and what hangs on them."""

from dataclasses import replace

from dci_server.foundation.auth.identity import Identity
from tests.permissions.scene import CONTENT, OWNERS, Scene
from tests.permissions.table import (
    Body,
    Own,
    Target,
    absent,
    all_of,
    constant,
    of_nobody,
    of_team,
    row,
    sent,
    sent_of_teams,
    targets_of_teams,
    with_topic,
)

_JOBS = targets_of_teams("job_id", "job")
_FILES = targets_of_teams("file_id", "file")
_COMPONENTS: dict[str, Own] = {
    "global exported": with_topic("topic exported"),
    "of Blue": of_team("Blue"),
    "of Red": of_team("Red"),
    "granted to Blue": of_team("Blue"),
}


def _only_remotecis(_scene: Scene, caller: Identity) -> int:
    return 401 if caller.kind == "remoteci" else 400


def _only_remotecis_that_see_it(scene: Scene, caller: Identity) -> int:
    """What a new job refers to is not found by those who do not see it (decision 14)."""
    if caller.is_read_only:
        return _only_remotecis(scene, caller)
    return 404 if caller.kind == "remoteci" else 400


def _on_topics(**more: object) -> list[Target]:
    def new_job(topic: str) -> Body:
        return lambda scene: {"topic_id": scene.id(topic), **more}

    return [
        *(sent(topic, with_topic(topic), new_job(topic)) for topic in ("topic exported", "topic pre-release")),
        sent("topic of OpenShift", with_topic("topic of OpenShift"), new_job("topic of OpenShift")),
        *(
            sent(topic, with_topic(topic), new_job(topic), told=404)
            for topic in ("topic of archived product", "topic archived")
        ),
        sent("topic absent", with_topic("topic exported"), new_job("absent"), told=404),
    ]


def _with_component(name: str) -> Body:
    return lambda scene: {"topic_id": scene.id("topic exported"), "components": [scene.id(f"component {name}")]}


def _after(key: str, thing: str) -> list[Target]:
    def new_job(name: str) -> Body:
        return lambda scene: {"topic_id": scene.id("topic exported"), "components": [], key: scene.id(name)}

    def own(team: str) -> Own:
        return all_of(with_topic("topic exported"), of_team(team))

    return [
        *(
            sent(f"{key} of {team}", own(team), new_job(f"{thing} of {team}"), refused=_only_remotecis_that_see_it)
            for team in OWNERS
        ),
        sent(f"{key} archived", own("Blue"), new_job(f"{thing} archived"), told=404),
        sent(f"{key} absent", of_nobody, new_job("absent"), told=404),
    ]


def _uploads() -> list[Target]:
    return [
        Target(
            target.name,
            own=target.own,
            body=lambda _scene: CONTENT,
            headers={"DCI-NAME": "'a.log'", "DCI-JOB-ID": target.path["job_id"]},
            told=target.told,
        )
        for target in _JOBS
    ]


_TUS = {"Tus-Resumable": "'1.0.0'"}
_UPLOADS = [
    replace(target, headers=_TUS) for target in targets_of_teams("upload_id", "upload") if target.name != "archived"
]


def _openings() -> list[Target]:
    return [
        Target(
            target.name,
            own=target.own,
            headers={**_TUS, "Upload-Length": "'10'", "Upload-Metadata": f"metadata for {target.path['job_id']}"},
            told=target.told,
        )
        for target in _JOBS
    ]


def _pieces() -> list[Target]:
    piece = {"Upload-Offset": "'0'", "Content-Type": "'application/offset+octet-stream'"}
    return [replace(target, body=constant(b"12345"), headers={**_TUS, **piece}) for target in _UPLOADS]


_JOBSTATES = [
    *targets_of_teams("jobstate_id", "jobstate of job")[:3],
    absent("jobstate_id"),
]
_OF_ARCHIVED_JOB = Target("of archived job", {"jobstate_id": "jobstate of job archived"}, of_team("Blue"))
_PIPELINES = targets_of_teams("pipeline_id", "pipeline")
_ON_BLUE: dict[str, Own] = {
    "of Blue": of_team("Blue"),
    "of Red": of_nobody,
    "granted to Blue": of_team("Blue"),
}


def _with_components(*others: Target) -> list[Target]:
    """Jobs of each team with a component that all may use, and Blue's job with others."""
    exported = "component global exported"
    return [*(replace(job, path={**job.path, "component_id": exported}) for job in _JOBS), *others]


def _attached(target: Target) -> Target:
    """The component is in the body."""
    component = target.path["component_id"]

    def body(scene: Scene) -> object:
        return {"id": scene.id(component)}

    return replace(target, path={"job_id": target.path["job_id"]}, body=body)


def _blue_job_and(component: str, own: Own, told: int | None = None) -> Target:
    path = {"job_id": "job of Blue", "component_id": component}
    return Target(f"Blue's, {component}", path, own, told=told)


def _new_pipeline(team: str) -> Body:
    return lambda scene: {"name": "new", "team_id": scene.id(team)}


RUNS = [
    row("GET /jobs"),
    row("GET /jobs/{job_id}", _JOBS),
    row("PUT /jobs/{job_id}", _JOBS, body=lambda _scene: {"comment": "changed"}, etag=("jobs", "job_id")),
    row("DELETE /jobs/{job_id}", _JOBS, etag=("jobs", "job_id")),
    row(
        "POST /jobs",
        _on_topics(components=[]),
        [
            sent(f"component {name}", all_of(with_topic("topic exported"), own), _with_component(name))
            for name, own in _COMPONENTS.items()
        ],
        _after("previous_job_id", "job"),
        _after("update_previous_job_id", "job"),
        _after("pipeline_id", "pipeline"),
        refused=_only_remotecis,
    ),
    row("POST /jobs/schedule", _on_topics(), refused=_only_remotecis),
    row("POST /jobs/{job_id}/update", _JOBS),
    row("POST /jobs/upgrade", sent_of_teams("job", lambda job: lambda scene: {"job_id": scene.id(job)})),
    row("GET /jobs/purge"),
    row("POST /jobs/purge"),
    row("GET /jobs/{job_id}/components", _JOBS),
    row(
        "POST /jobs/{job_id}/components",
        [
            _attached(target)
            for target in _with_components(
                *(_blue_job_and(f"component {name}", own) for name, own in _ON_BLUE.items()),
                _blue_job_and("component archived", of_team("Blue"), told=404),
                _blue_job_and("absent", of_team("Blue"), told=404),
            )
        ],
    ),
    row(
        "DELETE /jobs/{job_id}/components/{component_id}",
        _with_components(
            _blue_job_and("component archived", of_team("Blue"), told=404),
            _blue_job_and("absent", of_team("Blue"), told=404),
        ),
    ),
    row("POST /jobs/{job_id}/kv", _JOBS, body=constant({"key": "new", "value": 1})),
    row("DELETE /jobs/{job_id}/kv", _JOBS, body=constant({"key": "new"})),
    row("GET /jobs/{job_id}/jobstates", _JOBS),
    row("GET /jobs/{job_id}/files", _JOBS),
    row("GET /jobs/{job_id}/results", _JOBS),
    row("GET /jobs/{job_id}/events", _JOBS),
    row(
        "POST /jobstates",
        sent_of_teams("job", lambda job: lambda scene: {"job_id": scene.id(job), "status": "running"}),
    ),
    row("GET /jobstates/{jobstate_id}", _JOBSTATES, _OF_ARCHIVED_JOB),
    row("DELETE /jobstates/{jobstate_id}", _JOBSTATES, replace(_OF_ARCHIVED_JOB, told=404)),
    row("POST /files", _uploads()),
    row("GET /jobs_events/{first_id}", Target("all", {"first_id": "'0'"})),
    row("DELETE /jobs_events/{first_id}", Target("all", {"first_id": "'0'"})),
    row("GET /jobs_events/sequence"),
    row(
        "PUT /jobs_events/sequence",
        Target("-", headers={"If-match": f"'{'0' * 32}'"}),
        body=constant({"sequence": 1}),
    ),
    row("GET /stats"),
    row("GET /files/purge"),
    row("POST /files/purge"),
    row("DELETE /files/{file_id}", _FILES),
    row("GET /files/{file_id}", _FILES),
    row("GET /files/{file_id}/content", _FILES),
    row(
        "PUT /files/{file_id}/content",
        [replace(file, body=constant(CONTENT), headers={"Content-Type": "'application/junit'"}) for file in _FILES],
        etag=("files", "file_id"),
    ),
    row("GET /api/v2/files/{file_id}/content", _FILES),
    row("GET /files/{file_id}/junit", _FILES),
    row("GET /jobs/{job_id}/cases", _JOBS),
    row("GET /cases/{test_id}/runs", Target("-", {"test_id": "absent"})),
    row("POST /uploads", _openings()),
    row("HEAD /uploads/{upload_id}", _UPLOADS),
    row("PATCH /uploads/{upload_id}", _pieces()),
    row("DELETE /uploads/{upload_id}", _UPLOADS),
    row("GET /pipelines"),
    row(
        "POST /pipelines",
        [sent(f"{team}'s", of_team(team), _new_pipeline(team)) for team in OWNERS],
        sent("absent team", of_nobody, _new_pipeline("absent"), told=409),
    ),
    row("GET /pipelines/{pipeline_id}", _PIPELINES),
    row("PUT /pipelines/{pipeline_id}", _PIPELINES, body=constant({"name": "new"}), etag=("pipelines", "pipeline_id")),
    row("DELETE /pipelines/{pipeline_id}", _PIPELINES, etag=("pipelines", "pipeline_id")),
    row("GET /pipelines/{pipeline_id}/jobs", _PIPELINES),
]
