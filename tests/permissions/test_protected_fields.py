# SPDX-License-Identifier: Apache-2.0
"""No body sets what it must not: ids, etags, times, owners, roles, secrets are tried on every POST and PUT.

A closed body is refused with the names of what it must not hold; an open one, and one that is ignored, does what it does
without them. Which of these fields a call does take is said here by hand: a new call, or a new field, fails until
somebody has looked at it.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import httpx
import pytest
from msgspec.inspect import StructType, type_info

from dci_server.foundation.http import Route
from tests.permissions.calls import ROUTES, build_request
from tests.permissions.conftest import Matrix
from tests.permissions.rows import ROWS
from tests.permissions.scene import CALLERS, Caller, Scene
from tests.permissions.table import Row, Target

_ID = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
_MOMENT = "2001-02-03T04:05:06.789"
_UNHEARD_OF: Mapping[str, object] = {
    "id": _ID,
    "etag": "d" * 32,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
    "last_auth_at": _MOMENT,
    "last_used_at": _MOMENT,
    "expires_at": _MOMENT,
    "api_secret": "DCI." + "d" * 60,
    "sealed_secret": "dddd" * 20,
    "password_hash": "$argon2id$dddddddd",
    "sso_sub": "dddddddd-sub",
    "md5": "dddddddd" * 4,
    "sha256": "dddddddd" * 8,
    "user_agent": "dddddddd/1.0",
    "client_version": "dddddddd-client",
    "size": 4242424242,
    "duration": 424242424,
    "role": "dddddddd-role",
}
"""Values that nobody else uses: wherever one turns up, the body put it there."""
_TRACES = (_ID, "d" * 8, "2001-02-03", "4242424242", "424242424")


def _of_scene(scene: Scene) -> dict[str, object]:
    """Values that would be accepted if the field were: another owner, another state, more rights."""
    hat = {"id": scene.id("Red Hat"), "name": "Red Hat"}
    someone = {"id": scene.id("user loner"), "name": "loner"}
    return {
        "team_id": scene.id("Red Hat"),
        "user_id": scene.id("user loner"),
        "product_id": scene.id("OpenShift"),
        "topic_id": scene.id("topic of OpenShift"),
        "component_id": scene.id("component global of OpenShift"),
        "remoteci_id": scene.id("remoteci of Red Hat"),
        "feeder_id": scene.id("feeder of Red Hat"),
        "job_id": scene.id("job of Red Hat"),
        "jobstate_id": scene.id("jobstate of job of Red Hat"),
        "pipeline_id": scene.id("pipeline of Red Hat"),
        "previous_job_id": scene.id("job of Red Hat"),
        "update_previous_job_id": scene.id("job of Red Hat"),
        "state": "inactive",
        "status": "killed",
        "password": "another horse",
        "public": True,
        "external": True,
        "export_control": True,
        "has_pre_release_access": True,
        "is_super_admin": True,
        "team": hat,
        "teams": [hat],
        "users": [someone],
        "remoteci": {"id": scene.id("remoteci of Red Hat")},
        "remotecis": [{"id": scene.id("remoteci of Red Hat")}],
        "jobs": [{"id": scene.id("job of Red Hat"), "state": "archived"}],
        "files": [{"id": scene.id("file of Red Hat"), "state": "archived"}],
        "topics": [{"id": scene.id("topic exported"), "state": "archived"}],
        "products": [{"id": scene.id("RHEL"), "state": "archived"}],
    }


TAKEN: Mapping[str, str] = {
    "POST /users": "password state",
    "PUT /users/{user_id}": "password sso_sub state",
    "PUT /users/me": "",
    "PUT /identity": "",
    "POST /teams": "external has_pre_release_access state",
    "PUT /teams/{team_id}": "external has_pre_release_access state",
    "POST /teams/{team_id}/permissions/components": "",
    "POST /products": "state",
    "PUT /products/{product_id}": "state",
    "POST /products/{product_id}/teams": "team_id",
    "POST /topics": "export_control product_id state",
    "PUT /topics/{topic_id}": "export_control product_id state",
    "POST /components": "state team_id topic_id",
    "PUT /components/{component_id}": "state topic_id",
    "POST /remotecis": "public state team_id",
    "PUT /remotecis/{remoteci_id}": "public state team_id",
    "POST /feeders": "state team_id",
    "PUT /feeders/{feeder_id}": "state team_id",
    "POST /pipelines": "state team_id",
    "PUT /pipelines/{pipeline_id}": "state",
    "PUT /jobs_events/sequence": "",
    "POST /webhooks": "state team_id",
    "PUT /webhooks/{webhook_id}": "state",
    "POST /jobs": "pipeline_id previous_job_id remoteci_id state team_id topic_id update_previous_job_id",
    "POST /jobs/schedule": "pipeline_id previous_job_id remoteci_id state topic_id",
    "POST /jobs/upgrade": "job_id",
    "PUT /jobs/{job_id}": "state status",
    "POST /jobs/{job_id}/components": "id",
    "POST /jobs/{job_id}/kv": "",
    "POST /jobstates": "job_id status",
}
"""What each call takes of all that is tried."""
TAKEN_AND_IGNORED: Mapping[str, str] = {"POST /jobs": "remoteci_id team_id", "POST /jobs/schedule": "remoteci_id"}

WRITING = {
    name: route for name, route in ROUTES.items() if route.method in ("POST", "PUT") and not route.streams
}  # fmt: skip
WITH_BODY = sorted(name for name, route in WRITING.items() if route.body is not None)
CLOSED = [name for name in WITH_BODY if WRITING[name].closed]
OPEN = [name for name in WITH_BODY if not WRITING[name].closed]
IGNORED = sorted(name for name, route in WRITING.items() if route.body is None and not name.endswith("/purge"))


def _fields(route: Route) -> set[str]:
    described = type_info(route.body) if route.body else None
    return {field.encode_name for field in described.fields} if isinstance(described, StructType) else set()


def _protected(route: Route, scene: Scene) -> dict[str, object]:
    """All that is tried and not taken."""
    tried = {**_UNHEARD_OF, **_of_scene(scene)}
    return {name: value for name, value in tried.items() if name not in _fields(route)}


async def _accepted(matrix: Matrix, name: str) -> tuple[Row, Target, Caller]:
    """Who makes which call successfully: the first that is found."""
    for row in (row for row in ROWS if row.route == name):
        for target in row.targets:
            for caller in CALLERS:
                async with matrix.db.undoing():
                    answer = await _send(matrix, row, target, caller)
                if answer.is_success:
                    return row, target, caller
    raise AssertionError(f"nobody makes {name} successfully: give it a row in tests/permissions that somebody may")


async def _send(
    matrix: Matrix, row: Row, target: Target, caller: Caller, more: dict[str, object] | None = None
) -> httpx.Response:
    return await matrix.clients[caller.name].send(await build_request(matrix, row, target, caller, more=more))


@pytest.mark.parametrize("name", WITH_BODY)
async def test_what_a_body_may_set_is_reviewed(name: str, matrix: Matrix) -> None:
    tried = {*_UNHEARD_OF, *_of_scene(matrix.scene)}

    assert name in TAKEN, f"{name} is new: say in TAKEN which protected fields its body may set, if any"
    assert sorted(_fields(WRITING[name]) & tried) == TAKEN[name].split()


def test_every_reviewed_call_exists() -> None:
    assert sorted(TAKEN) == WITH_BODY


@pytest.mark.parametrize("name", CLOSED)
async def test_a_closed_body_refuses_each_of_them(name: str, matrix: Matrix) -> None:
    row, target, caller = await _accepted(matrix, name)
    wrong: dict[str, object] = {}

    for field, value in _protected(WRITING[name], matrix.scene).items():
        async with matrix.db.undoing():
            answer = await _send(matrix, row, target, caller, {field: value})
            written = await matrix.db.changed()
        words = f"Additional properties are not allowed ('{field}' was unexpected)"
        if answer.status_code != 400 or answer.json()["payload"] != {"error": words, "errors": [words]} or written:
            wrong[field] = (answer.status_code, answer.text, written)

    assert wrong == {}


@pytest.mark.parametrize("name", [*OPEN, *IGNORED])
async def test_an_open_body_and_an_ignored_one_do_the_same_without_them(name: str, matrix: Matrix) -> None:
    row, target, caller = await _accepted(matrix, name)
    known = set(_TOKEN.findall(str(await matrix.db.rows())))

    async with matrix.db.undoing():
        plain = await _send(matrix, row, target, caller)
        expected = await matrix.db.rows()
    async with matrix.db.undoing():
        answer = await _send(matrix, row, target, caller, _protected(WRITING[name], matrix.scene))
        found = await matrix.db.rows()

    assert answer.status_code == plain.status_code
    assert _traces(answer, found) == []
    assert _comparable(found, known) == _comparable(expected, known)


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, fields in TAKEN_AND_IGNORED.items() for f in fields.split()])
async def test_what_is_taken_and_ignored_is_ignored(name: str, field: str, matrix: Matrix) -> None:
    row, target, caller = await _accepted(matrix, name)
    foreign = _of_scene(matrix.scene)[field]

    async with matrix.db.undoing():
        plain = await _send(matrix, row, target, caller)
        answer = await _send(matrix, row, target, caller, {field: foreign})

    (made,) = cast("dict[str, dict[str, Any]]", answer.json()).values()
    (as_without,) = cast("dict[str, dict[str, Any]]", plain.json()).values()
    assert made[field] == as_without[field] != foreign


def _traces(answer: httpx.Response, rows: Mapping[str, list[str]]) -> list[str]:
    """Where a value of ours turned up."""
    places = {"answer": answer.text, **{table: "\n".join(lines) for table, lines in rows.items()}}
    return [f"{trace} in {place}" for place, text in places.items() for trace in _TRACES if trace in text]


_TOKEN = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\dT[0-9:.]+|\\\\x[0-9a-f]+"
)
"""Ids, etags, moments, sealed secrets: what two equal calls write differently."""
_ASIDE = re.compile(r'"last_(?:auth|used)_at": (?:null|"[^"]*")')
"""When somebody was last seen is written on the side, by no request in particular."""


def _comparable(rows: Mapping[str, list[str]], known: set[str]) -> dict[str, list[str]]:
    """With one word for everything new of that kind."""

    def word(match: re.Match[str]) -> str:
        return match[0] if match[0] in known else "new"

    return {table: sorted(_TOKEN.sub(word, _ASIDE.sub("", line)) for line in lines) for table, lines in rows.items()}
