# SPDX-License-Identifier: Apache-2.0
"""Jobs, and what hangs on them."""

from dci_server.foundation.auth.identity import Identity
from tests.permissions.scene import CONTENT, OWNERS
from tests.permissions.table import (
    Body,
    Own,
    Target,
    all_of,
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


def _only_remotecis(caller: Identity) -> int:
    return 401 if caller.kind == "remoteci" else 400


def _only_remotecis_that_see_it(caller: Identity) -> int:
    """What a new job refers to is not found by those who do not see it (decision 14)."""
    if caller.is_read_only:
        return _only_remotecis(caller)
    return 404 if caller.kind == "remoteci" else 400


def _on_topics(**more: object) -> list[Target]:
    def new_job(topic: str) -> Body:
        return lambda scene: {"topic_id": scene.id(topic), **more}

    return [
        *(sent(topic, with_topic(topic), new_job(topic)) for topic in ("topic exported", "topic pre-release")),
        sent("topic of OpenShift", with_topic("topic of OpenShift"), new_job("topic of OpenShift")),
        *(
            sent(topic, with_topic(topic), new_job(topic), gone=404)
            for topic in ("topic of archived product", "topic archived")
        ),
        sent("topic absent", with_topic("topic exported"), new_job("absent"), gone=404),
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
        sent(f"{key} archived", own("Blue"), new_job(f"{thing} archived"), gone=404),
        sent(f"{key} absent", of_nobody, new_job("absent"), gone=404),
    ]


def _uploads() -> list[Target]:
    return [
        Target(
            target.name,
            own=target.own,
            body=lambda _scene: CONTENT,
            headers={"DCI-NAME": "'a.log'", "DCI-JOB-ID": target.path["job_id"]},
            gone=target.gone,
        )
        for target in _JOBS
    ]


RUNS = [
    row("GET /jobs"),
    row("GET /jobs/{job_id}", _JOBS),
    row("PUT /jobs/{job_id}", _JOBS, body=lambda _scene: {"comment": "changed"}, etag=("jobs", "job_id"), audited=True),
    row("DELETE /jobs/{job_id}", _JOBS, etag=("jobs", "job_id"), audited=True),
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
    row("GET /jobs/{job_id}/jobstates", _JOBS),
    row("GET /jobs/{job_id}/files", _JOBS),
    row("GET /jobs/{job_id}/results", _JOBS),
    row(
        "POST /jobstates",
        sent_of_teams("job", lambda job: lambda scene: {"job_id": scene.id(job), "status": "running"}),
    ),
    row("POST /files", _uploads()),
    row("GET /files/{file_id}", _FILES),
    row("GET /files/{file_id}/content", _FILES),
    row("GET /files/{file_id}/junit", _FILES),
]
