# SPDX-License-Identifier: Apache-2.0
"""The shapes of a component, and the names that are derived when it is created."""

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dci_server.features.teams.model import Count
from dci_server.foundation.errors import ApiError
from dci_server.foundation.shapes import GivenMoment, Id, JsonObject, NonEmpty, State, Status, Tags, empty_object

_HASH = re.compile(r"[0-9a-fA-F]{40}")
_SEPARATORS = (":", "@", " ")
"""The first of these that occurs decides, wherever it stands."""


class Component(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    updated_at: str
    released_at: str
    etag: str
    name: str
    display_name: str
    canonical_project_name: str | None
    version: str
    uid: str
    type: str
    title: str | None
    message: str | None
    url: str | None
    data: dict[str, Any]
    tags: list[str]
    topic_id: str
    team_id: str | None
    state: State


class ComponentFile(Struct, frozen=True, kw_only=True):
    """A file that was uploaded to a component; its name is its id."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    mime: str | None
    md5: str | None
    size: int
    component_id: str
    state: State


class JobOfComponent(Struct, frozen=True, kw_only=True):
    """A job that used the component."""

    id: str
    created_at: str
    updated_at: str
    etag: str
    name: str
    comment: str
    configuration: str
    status_reason: str
    url: str
    status: Status
    state: State
    duration: int
    tags: list[str]
    data: dict[str, Any]
    topic_id: str
    product_id: str
    remoteci_id: str
    team_id: str
    pipeline_id: str | None
    previous_job_id: str | None
    update_previous_job_id: str | None
    user_agent: str
    client_version: str


class ComponentWithJobs(Component, frozen=True, kw_only=True):
    files: list[ComponentFile]
    jobs: list[JobOfComponent]


class NewComponent(Struct, frozen=True, kw_only=True):
    """Exactly one of `name` and `display_name` (resources.md §6.2)."""

    type: str
    topic_id: Id
    name: NonEmpty | UnsetType = UNSET
    display_name: NonEmpty | UnsetType = UNSET
    team_id: Id | UnsetType = UNSET
    canonical_project_name: str = ""
    title: str = ""
    message: str = ""
    version: str = ""
    url: str = ""
    uid: str = ""
    data: JsonObject = msgspec.field(default_factory=empty_object)
    tags: Tags = []
    released_at: GivenMoment | UnsetType = UNSET
    state: State = "active"


class ChangedComponent(Struct, frozen=True, kw_only=True):
    """PUT /components/<id>: a client may send back the whole component; only these change."""

    name: str | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    canonical_project_name: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    data: JsonObject | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    topic_id: Id | UnsetType = UNSET
    released_at: GivenMoment | UnsetType = UNSET
    state: State | UnsetType = UNSET


class ComponentAnswer(Struct):
    component: ComponentWithJobs


class ComponentColumnsAnswer(Struct):
    component: Component


class ComponentsAnswer(Struct):
    components: list[Component]
    meta: Count = msgspec.field(name="_meta")


def texts_of(tags: Tags) -> list[str]:
    """As they were sent, blank and repeated ones too, unlike a job's (resources.md §6.1)."""
    kept = [tag for tag in tags if tag is not None]
    if all(isinstance(tag, str) for tag in kept):
        return [str(tag) for tag in kept]
    # quirk: a list of numbers only, or of booleans only, is accepted as well (resources.md §6.2).
    if all(isinstance(tag, bool) for tag in kept):
        return [str(tag).lower() for tag in kept]
    if all(isinstance(tag, int | float) and not isinstance(tag, bool) for tag in kept):
        return [str(tag) for tag in kept]
    raise ApiError("tags are either all texts or all numbers; write each as a text")


class Derived(NamedTuple):
    display_name: str
    version: str
    uid: str


def derive(name: str, project: str) -> Derived:
    """What is not given follows from the names (resources.md §6.3)."""
    is_hash = _HASH.fullmatch(name) is not None
    candidate = project if project and ("OpenShift" in project or name in project or is_hash) else name
    version = _after_separator(candidate)
    for marker in ("RHOS-", "RHEL-"):
        if marker in candidate:
            version = candidate.rpartition(marker)[2]
            break
    if "OpenShift" in project:
        version = name
    display_name = project if "dci-openshift-app-agent" in candidate else candidate
    return Derived(display_name, version, name if is_hash else "")


def _after_separator(candidate: str) -> str:
    for separator in _SEPARATORS:
        if separator in candidate:
            return candidate.rpartition(separator)[2]
    return ""
