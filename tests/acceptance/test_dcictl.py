# SPDX-License-Identifier: Apache-2.0
"""Every sub-command of the published `dcictl`, and its companions, against a server that runs as a user starts it."""

import argparse
import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from tests.server_process import Running, free_port, start, stop

DRIVEN: set[str] = set()
NOT_SERVED = {"job-search": "analytics are not part of this version: the server answers 404"}


class Dcictl:
    """The client's own entry points, called as the console scripts call them."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self.called: set[str] = set()

    def script(self, module: str, *arguments: str, rc: str = "demo") -> str:
        """What the script prints; its exit code must be 0."""
        out = io.StringIO()
        entry: Any = importlib.import_module(f"dciclient.{module}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DCI_")}
        argv = [module, *arguments]
        with (
            patch.dict(os.environ, {**kept, **self._server.rc(rc)}, clear=True),
            patch.object(sys, "argv", argv),
            contextlib.redirect_stdout(out),
        ):
            code = entry.main(argv, os.environ) if module == "diff_jobs" else entry.main()
        assert not code, out.getvalue()
        return out.getvalue()

    def result(self, command: str, *arguments: str, rc: str = "admin") -> Any:
        """What a sub-command computes, for those whose printing fails in the published client itself."""
        self.called.add(command)
        cli: Any = importlib.import_module("dciclient.v1.shell_commands.cli")
        contexts: Any = importlib.import_module("dciclient.v1.shell_commands.context")
        runner: Any = importlib.import_module("dciclient.v1.shell_commands.runner")
        args = cli.parse_arguments([command, *arguments], self._server.rc(rc))
        return runner.run(contexts.build_context(args), args)

    def text(self, command: str, *arguments: str, rc: str = "admin") -> str:
        self.called.add(command)
        return self.script("shell", "--format", "json", command, *arguments, rc=rc)

    def __call__(self, command: str, *arguments: str, rc: str = "admin") -> Any:
        """What the sub-command prints, as values; None for a 204."""
        printed = self.text(command, *arguments, rc=rc)
        return json.loads(printed) if printed.strip() else None


def drives(*commands: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test calls exactly these sub-commands."""
    DRIVEN.update(commands)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def checked(dcictl: Dcictl, *arguments: Any, **named: Any) -> None:
            test(dcictl, *arguments, **named)
            assert dcictl.called == set(commands)

        return checked

    return decorate


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = start(tmp_path_factory.mktemp("dcictl") / "data", free_port())
    yield server
    stop(server)


@pytest.fixture
def dcictl(running: Running) -> Dcictl:
    return Dcictl(running)


def named(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


def first(dcictl: Dcictl, plural: str, command: str, *arguments: str, rc: str = "admin") -> Any:
    return dcictl(command, *arguments, rc=rc)[plural][0]


def peek(dcictl: Dcictl, command: str, *arguments: str, rc: str = "admin") -> Any:
    """Looks something up without counting it as driven."""
    return Dcictl.__call__(Dcictl(dcictl._server), command, *arguments, rc=rc)  # pyright: ignore[reportPrivateUsage]


def topic_id(dcictl: Dcictl) -> str:
    return peek(dcictl, "topic-list", "--where", "name:RHEL-9.6")["topics"][0]["id"]


def test_every_subcommand_is_driven() -> None:
    cli: Any = importlib.import_module("dciclient.v1.shell_commands.cli")
    parsers: list[argparse.ArgumentParser] = []

    def keep(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parsers.append(self)
        raise SystemExit

    with patch.object(argparse.ArgumentParser, "parse_args", keep), pytest.raises(SystemExit):
        cli.parse_arguments(["user-list"], {})

    actions: list[Any] = parsers[0]._actions  # pyright: ignore[reportPrivateUsage]
    choices: set[str] = {name for action in actions if hasattr(action.choices, "keys") for name in action.choices}
    assert choices - DRIVEN == set(NOT_SERVED)


@drives("user-create", "user-list", "user-show", "user-update", "user-delete")
def test_users(dcictl: Dcictl) -> None:
    name = named("user")
    user = dcictl("user-create", "--name", name, "--password", "long enough", "--email", f"{name}@example.org")["user"]
    assert (user["name"], user["fullname"], user["state"]) == (name, name, "active")
    assert first(dcictl, "users", "user-list", "--where", f"name:{name}")["id"] == user["id"]
    assert dcictl("user-show", user["id"])["user"]["email"] == f"{name}@example.org"
    changed = dcictl("user-update", user["id"], "--etag", user["etag"], "--name", name, "--no-active")["user"]
    assert changed["state"] == "inactive"
    assert dcictl("user-delete", user["id"], "--etag", changed["etag"]) is None
    assert dcictl("user-show", user["id"])["message"] == "user not found"


@drives("team-create", "team-list", "team-show", "team-update", "team-delete")
def test_teams(dcictl: Dcictl) -> None:
    name = named("team")
    team = dcictl("team-create", "--name", name, "--country", "FR")["team"]
    assert first(dcictl, "teams", "team-list", "--where", f"name:{name}")["id"] == team["id"]
    assert dcictl("team-show", team["id"])["team"]["country"] == "FR"
    changed = dcictl("team-update", team["id"], "--etag", team["etag"], "--pre-release-access")["team"]
    assert changed["has_pre_release_access"] is True
    assert dcictl("team-delete", team["id"], "--etag", changed["etag"]) is None


@drives(
    "product-create", "product-list", "product-show", "product-update", "product-attach-team", "product-list-teams",
    "product-detach-team", "product-delete",
)  # fmt: skip
def test_products(dcictl: Dcictl) -> None:
    name = named("product")
    team = peek(dcictl, "team-list", "--where", "name:Demo lab")["teams"][0]["id"]
    product = dcictl("product-create", "--name", name)["product"]
    assert product["label"] == name.upper()
    assert first(dcictl, "products", "product-list", "--where", f"name:{name}")["id"] == product["id"]
    changed = dcictl("product-update", product["id"], "--etag", product["etag"], "--description", "new")["product"]
    assert dcictl("product-show", product["id"])["product"]["description"] == "new"
    assert dcictl("product-attach-team", product["id"], "--team-id", team)["team_id"] == team
    assert first(dcictl, "teams", "product-list-teams", product["id"])["id"] == team
    assert dcictl("product-detach-team", product["id"], "--team-id", team) is None
    assert dcictl("product-delete", product["id"], "--etag", changed["etag"]) is None


@drives("topic-create", "topic-list", "topic-show", "topic-update", "topic-delete", "download-pull-secret")
def test_topics(dcictl: Dcictl, tmp_path: Path) -> None:
    name = named("topic")
    product = peek(dcictl, "product-list", "--where", "name:RHEL")["products"][0]["id"]
    data = json.dumps({"pull_secret": {"auths": {}}})
    topic = dcictl("topic-create", "--name", name, "--product-id", product, "--component_types", "a,B", "--data", data)[
        "topic"
    ]
    assert topic["component_types"] == ["a", "b"]
    assert first(dcictl, "topics", "topic-list", "--where", f"name:{name}")["product"]["id"] == product
    changed = dcictl("topic-update", topic["id"], "--etag", topic["etag"], "--next-topic-id", topic_id(dcictl))["topic"]
    assert dcictl("topic-show", topic["id"])["topic"]["next_topic"]["name"] == "RHEL-9.6"
    target = tmp_path / "pull-secret.json"
    dcictl.text("download-pull-secret", "--topic", name, "--destination", str(target))
    assert json.loads(target.read_text()) == {"auths": {}}
    assert dcictl("topic-delete", topic["id"], "--etag", changed["etag"]) is None


@drives(
    "component-create", "component-list", "component-show", "component-update", "component-delete",
    "component-file-upload", "component-file-list", "component-file-show", "component-file-download",
    "component-file-delete",
)  # fmt: skip
def test_components(dcictl: Dcictl, tmp_path: Path) -> None:
    topic, name = topic_id(dcictl), named("extra")
    component = dcictl("component-create", name, "--type", "extra", "--topic-id", topic, "--version", "1.0")[
        "component"
    ]
    assert (component["display_name"], component["tags"], component["data"]) == (name, [], {})
    listed = first(dcictl, "components", "component-list", "--topic-id", topic, "--where", "type:extra,state:active")
    assert listed["id"] == component["id"]
    assert dcictl("component-update", component["id"], "--tags", "a,b")["component"]["tags"] == ["a", "b"]
    assert dcictl("component-show", component["id"])["component"]["jobs"] == []

    content = tmp_path / "notes.txt"
    content.write_bytes(b"release notes\n" * 9000)
    file = dcictl("component-file-upload", component["id"], "--path", str(content))["component_file"]
    assert file["size"] == content.stat().st_size
    listed = first(dcictl, "component_files", "component-file-list", component["id"])
    assert listed["id"] == file["id"]
    shown = dcictl("component-file-show", component["id"], "--file-id", file["id"])["component_file"]
    target = tmp_path / "download"
    dcictl.text("component-file-download", component["id"], "--file-id", file["id"], "--target", str(target))
    assert target.read_bytes() == content.read_bytes()
    dcictl.text("component-file-delete", component["id"], "--file-id", file["id"], "--etag", shown["etag"])
    assert peek(dcictl, "component-file-list", component["id"])["component_files"] == []

    etag = peek(dcictl, "component-show", component["id"])["component"]["etag"]
    assert dcictl("component-delete", component["id"], "--etag", etag) is None


@drives(
    "remoteci-create", "remoteci-list", "remoteci-show", "remoteci-update", "remoteci-get-data",
    "remoteci-reset-api-secret", "remoteci-attach-user", "remoteci-list-user", "remoteci-unattach-user",
    "remoteci-delete",
)  # fmt: skip
def test_remotecis(dcictl: Dcictl) -> None:
    name = named("lab")
    team = peek(dcictl, "team-list", "--where", "name:Demo lab")["teams"][0]["id"]
    created = dcictl("remoteci-create", "--name", name, "--team-id", team, "--data", '{"rack": "r1", "x": 1}')[
        "remoteci"
    ]
    assert created["api_secret"].startswith("DCI.")
    listed = first(dcictl, "remotecis", "remoteci-list", "--where", f"name:{name},state:active")
    assert (listed["id"], "api_secret" in listed, listed["team"]["name"]) == (created["id"], False, "Demo lab")
    assert dcictl("remoteci-get-data", created["id"], "--keys", "rack") == {"rack": "r1"}
    etag = dcictl("remoteci-show", created["id"])["remoteci"]["etag"]
    reset = dcictl("remoteci-reset-api-secret", created["id"], "--etag", etag)["remoteci"]
    assert reset["api_secret"] not in {created["api_secret"], None}
    changed = dcictl("remoteci-update", created["id"], "--etag", reset["etag"], "--name", name + "x")["remoteci"]
    assert changed["name"] == name + "x"
    me = peek(dcictl, "user-list", "--where", "name:admin")["users"][0]["id"]
    assert dcictl("remoteci-attach-user", created["id"], "--user-id", me)["user_id"] == me
    assert first(dcictl, "users", "remoteci-list-user", created["id"])["id"] == me
    assert dcictl("remoteci-unattach-user", created["id"], "--user-id", me) is None
    etag = peek(dcictl, "remoteci-show", created["id"])["remoteci"]["etag"]
    assert dcictl("remoteci-delete", created["id"], "--etag", etag) is None


@drives(
    "feeder-create", "feeder-list", "feeder-show", "feeder-update", "feeder-reset-api-secret", "feeder-delete"
)  # fmt: skip
def test_feeders(dcictl: Dcictl) -> None:
    name = named("feeder")
    team = peek(dcictl, "team-list", "--where", "name:Demo lab")["teams"][0]["id"]
    feeder = dcictl("feeder-create", "--name", name, "--team-id", team)["feeder"]
    assert feeder["api_secret"].startswith("DCI.")
    assert first(dcictl, "feeders", "feeder-list", "--where", f"name:{name}")["id"] == feeder["id"]
    assert dcictl("feeder-show", feeder["id"])["feeder"]["name"] == name
    changed = dcictl("feeder-update", feeder["id"], "--etag", feeder["etag"], "--no-active")["feeder"]
    reset = dcictl("feeder-reset-api-secret", feeder["id"], "--etag", changed["etag"])["feeder"]
    assert reset["api_secret"] != feeder["api_secret"]
    assert dcictl("feeder-delete", feeder["id"], "--etag", reset["etag"]) is None


@drives(
    "jobstate-create", "jobstate-show", "job-list", "job-show", "job-update", "job-results", "job-output",
    "job-upload-file", "job-list-file", "job-download-file", "job-add-key-value", "job-delete-key-value",
    "file-list", "file-show", "file-content", "file-delete", "job-delete",
)  # fmt: skip
def test_jobs_and_their_files(dcictl: Dcictl, tmp_path: Path) -> None:
    name = named("job")
    dcictl.script("create_job", "--name", name, "--topic", "RHEL-9.6", "--remoteci", "demo-remoteci")
    job = first(dcictl, "jobs", "job-list", "--where", f"name:{name},state:active", rc="demo")
    state = dcictl("jobstate-create", "--job-id", job["id"], "--status", "running", "--comment", "go", rc="demo")
    state_id = state["jobstate"]["id"]
    assert dcictl("jobstate-show", state_id, rc="demo")["jobstate"]["comment"] == "go"
    assert dcictl("job-update", job["id"], "--comment", "seen", "--tags", "a,b", rc="demo")["job"]["tags"] == ["a", "b"]

    log = tmp_path / "task.log"
    log.write_text("it works\n")
    file = dcictl(
        "job-upload-file", job["id"], "--name", "task", "--path", str(log), "--jobstate-id", state_id, rc="demo"
    )["file"]  # fmt: skip
    assert first(dcictl, "files", "job-list-file", job["id"], rc="demo")["id"] == file["id"]
    assert first(dcictl, "files", "file-list", job["id"], rc="demo")["id"] == file["id"]
    assert dcictl("file-show", file["id"], rc="demo")["file"]["name"] == "task"
    assert dcictl.text("file-content", file["id"], rc="demo").strip() == "it works"
    target = tmp_path / "download"
    dcictl.text("job-download-file", job["id"], "--file-id", file["id"], "--target", str(target), rc="demo")
    assert target.read_bytes() == log.read_bytes()
    assert dcictl.result("job-output", job["id"], rc="demo") == ["it works\n"]
    assert dcictl("job-results", job["id"], rc="demo")["results"] == []

    assert dcictl("job-add-key-value", job["id"], "seconds", "1.5", rc="demo")["kv"]["value"] == 1.5
    assert dcictl("job-show", job["id"], rc="demo")["job"]["keys_values"][0]["key"] == "seconds"
    assert dcictl("job-delete-key-value", job["id"], "seconds", rc="demo") is None
    assert dcictl("file-delete", file["id"], rc="demo") is None
    etag = peek(dcictl, "job-show", job["id"], rc="demo")["job"]["etag"]
    assert dcictl("job-delete", job["id"], "--etag", etag, rc="demo") is None


@drives(
    "pipeline-create", "pipeline-list", "pipeline-show", "pipeline-update", "pipeline-show-jobs", "pipeline-delete"
)  # fmt: skip
def test_pipelines(dcictl: Dcictl) -> None:
    name = named("pipeline")
    team = peek(dcictl, "team-list", rc="demo")["teams"][0]["id"]
    pipeline = dcictl("pipeline-create", "--name", name, "--team-id", team, rc="demo")["pipeline"]
    assert first(dcictl, "pipelines", "pipeline-list", "--where", f"name:{name}", rc="demo")["team"]["id"] == team
    changed = dcictl("pipeline-update", pipeline["id"], "--etag", pipeline["etag"], "--name", name + "x", rc="demo")
    assert dcictl("pipeline-show", pipeline["id"], rc="demo")["pipeline"]["name"] == name + "x"
    assert dcictl("pipeline-show-jobs", pipeline["id"], rc="demo")["jobs"] == []
    assert dcictl("pipeline-delete", pipeline["id"], "--etag", changed["pipeline"]["etag"], rc="demo") is None


@drives("purge")
def test_purge_tells_what_it_would_do_and_does_it(dcictl: Dcictl) -> None:
    name = named("product")
    product = peek(dcictl, "product-create", "--name", name)["product"]
    peek(dcictl, "product-delete", product["id"], "--etag", product["etag"])

    assert name in [each["name"] for each in dcictl.result("purge", "--resource", "products")["products"]["products"]]
    assert dcictl.result("purge", "--resource", "products", "--force")["products"].endswith("item(s) purged")
    assert dcictl.result("purge", "--resource", "products") == {}


def test_what_is_not_served_says_so(dcictl: Dcictl) -> None:
    for command in NOT_SERVED:
        answer = dcictl(command, "--query", "(name='x')", rc="demo")
        assert answer["status_code"] == 404


def test_a_job_is_created_from_names(dcictl: Dcictl) -> None:
    component = peek(dcictl, "component-list", "--topic-id", topic_id(dcictl), "--where", "type:compose")["components"][
        0
    ]

    dcictl.script(
        "create_job", "--name", "by-name", "--topic", "RHEL-9.6", "--remoteci", "demo-remoteci",
        "--comp", component["name"], "--tag", "x", "--key-value", "speed=2.5", "--data", '{"a": 1}',
    )  # fmt: skip

    job = peek(dcictl, "job-list", "--where", "name:by-name", rc="demo")["jobs"][0]
    assert [each["id"] for each in job["components"]] == [component["id"]]
    assert (job["tags"], job["keys_values"][0]["value"]) == (["x"], 2.5)


def test_a_component_is_created_once_from_names_and_found_again(dcictl: Dcictl) -> None:
    arguments = ("RHEL-9.6", "my tool", "1.2", "dev")

    for _ in range(2):
        dcictl.script("create_component", "--format", "json", *arguments)
    found = json.loads(
        dcictl.script("find_latest_component", "--format", "json", "--topic", "RHEL-9.6", "RHEL", "my-tool")
    )

    assert (found["display_name"], found["tags"]) == ("My Tool 1.2", ["build:dev"])
    listed = peek(dcictl, "component-list", "--topic-id", topic_id(dcictl), "--where", "type:my-tool")
    assert listed["_meta"] == {"count": 1}


def test_the_kernel_of_the_newest_compose_is_found(dcictl: Dcictl) -> None:
    topic = topic_id(dcictl)
    name = named("RHEL-9.6")
    component = peek(dcictl, "component-create", name, "--type", "compose", "--topic-id", topic)["component"]
    peek(dcictl, "component-update", component["id"], "--tags", "kernel:5.14.0-1,build:ga")

    printed = dcictl.script("rhel_kernel", "--topic", "RHEL-9.6", "--tags", "build:ga")

    assert printed.strip() == "5.14.0-1"


def test_two_jobs_are_compared_with_a_bare_comma_list(dcictl: Dcictl) -> None:
    for _ in range(2):
        dcictl.script("create_job", "--name", "compared", "--topic", "RHEL-9.6", "--remoteci", "demo-remoteci")
    job = peek(dcictl, "job-list", "--where", "name:compared", rc="demo")["jobs"][0]["id"]

    assert dcictl.script("diff_jobs", "--format", "json", "--job_id_1", job).strip() == "[]"
