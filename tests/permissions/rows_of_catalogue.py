# SPDX-License-Identifier: Apache-2.0
"""Products, topics, components and their files."""

from dataclasses import replace

from dci_server.features.topics.access import USE
from dci_server.foundation.auth.identity import Identity
from tests.permissions.scene import CONTENT, Scene
from tests.permissions.table import (
    Body,
    Own,
    Target,
    absent,
    any_feeder,
    any_of,
    constant,
    of_nobody,
    of_team,
    row,
    sent,
    with_product,
    with_topic,
)

_PRODUCTS = [
    Target("RHEL", {"product_id": "RHEL"}, with_product("RHEL")),
    Target("OpenShift", {"product_id": "OpenShift"}, with_product("OpenShift")),
    Target("archived", {"product_id": "archived product"}, with_product("archived product"), told=404),
    absent("product_id"),
]
_TOPICS = [
    *(
        Target(topic, {"topic_id": f"topic {topic}"}, with_topic(f"topic {topic}"))
        for topic in ("exported", "pre-release", "of OpenShift")
    ),
    # Those who need the product do not find it; those who see every topic do not mind.
    Target("of archived product", {"topic_id": "topic of archived product"}, refused=lambda _scene, _caller: 404),
    Target("archived", {"topic_id": "topic archived"}, with_topic("topic archived"), told=404),
    absent("topic_id"),
]
_KNOWN_TOPICS = [replace(target, refused=None) for target in _TOPICS]


def _subscribing(target: Target) -> Target:
    """Remotecis and feeders that may use the topic are told 409: they are no users (resources §5.7)."""

    def refused(scene: Scene, caller: Identity) -> int:
        may_use = caller.reads_everything or caller.kind == "feeder" or target.own(scene, caller, USE)
        if may_use and caller.kind != "user":
            return 409
        return target.refused(scene, caller) if target.refused else 401

    return replace(target, refused=refused)


_READABLE: dict[str, Own] = {
    "global exported": any_of(any_feeder, with_topic("topic exported")),
    "global pre-release": any_of(any_feeder, with_topic("topic pre-release")),
    "global of OpenShift": any_of(any_feeder, with_topic("topic of OpenShift")),
    "of Blue": of_team("Blue"),
    "of Red": of_team("Red"),
    "of Red Hat": of_team("Red Hat"),
    "granted to Blue": of_team("Blue"),
}
_WRITABLE: dict[str, Own] = {
    "global exported": any_feeder,
    "global pre-release": any_feeder,
    "of Blue": of_team("Blue"),
    "of Red": of_team("Red"),
    "of Red Hat": of_team("Red Hat"),
    "granted to Blue": of_nobody,
}

# What the pipeline runner does after a success: the tags of a global component, and nothing else (decision 5).
_TAGGABLE: dict[str, Own] = {name: _READABLE[name] for name in ("global exported", "global pre-release")}


def _components(owners: dict[str, Own]) -> list[Target]:
    return [
        *(Target(name, {"component_id": f"component {name}"}, own) for name, own in owners.items()),
        Target("archived", {"component_id": "component archived"}, of_team("Blue"), told=404),
        absent("component_id"),
    ]


def _files(owners: dict[str, Own]) -> list[Target]:
    of_component = [
        replace(target, path={**target.path, "file_id": f"component file {target.name}"})
        for target in _components(owners)[:-1]
    ]
    blue = "component of Blue"
    return [
        *of_component,
        Target(
            "archived file",
            {"component_id": blue, "file_id": "component file archived of Blue"},
            of_team("Blue"),
            told=404,
        ),
        Target(
            "another component's", {"component_id": blue, "file_id": "component file of Red"}, of_team("Blue"), told=404
        ),
        Target("absent file", {"component_id": blue, "file_id": "absent"}, of_team("Blue"), told=404),
        absent("component_id", "file_id"),
    ]


def _paths(owners: dict[str, Own]) -> list[Target]:
    return [replace(target, path={**target.path, "path": "'a/b.txt'"}) for target in _components(owners)]


def _with_topics(owners: dict[str, Own]) -> list[Target]:
    topics = {"global pre-release": "topic pre-release", "global of OpenShift": "topic of OpenShift"}
    return [
        replace(target, path={**target.path, "topic_id": topics.get(target.name, "topic exported")})
        for target in _components(owners)
    ]


def _new_component(topic: str, team: str | None = None) -> Body:
    return lambda scene: {
        "name": "new 1.0",
        "type": "compose",
        "topic_id": scene.id(topic),
        **({"team_id": scene.id(team)} if team else {}),
    }


def _attach(team: str) -> Body:
    return lambda scene: {"team_id": scene.id(team)}


CATALOGUE = [
    row("GET /products"),
    row("POST /products", body=constant({"name": "new"})),
    row("GET /products/{product_id}", _PRODUCTS),
    row("PUT /products/{product_id}", _PRODUCTS, body=constant({"description": "?"}), etag=("products", "product_id")),
    row("DELETE /products/{product_id}", _PRODUCTS, etag=("products", "product_id")),
    row("GET /products/{product_id}/teams", [replace(target, told=None) for target in _PRODUCTS]),
    row(
        "POST /products/{product_id}/teams",
        _PRODUCTS,
        Target("RHEL, archived team", {"product_id": "RHEL"}, body=_attach("archived team"), told=404),
        Target("RHEL, absent team", {"product_id": "RHEL"}, body=_attach("absent"), told=404),
        body=_attach("Green"),
    ),
    row(
        "DELETE /products/{product_id}/teams/{team_id}",
        [replace(target, path={**target.path, "team_id": "Blue"}) for target in _PRODUCTS],
        Target("RHEL, absent team", {"product_id": "RHEL", "team_id": "absent"}, told=404),
    ),
    row("GET /products/purge"),
    row("POST /products/purge", Target("an archived one has topics", told=409)),
    row("GET /topics"),
    row("POST /topics", body=lambda scene: {"name": "new", "product_id": scene.id("RHEL")}),
    row("GET /topics/{topic_id}", _TOPICS),
    row(
        "PUT /topics/{topic_id}",
        _KNOWN_TOPICS,
        Target(
            "exported, archiving it",
            {"topic_id": "topic exported"},
            body=constant({"state": "archived"}),
            also=lambda caller: caller.is_epm,
        ),
        body=constant({"data": {"a": 1}}),
        etag=("topics", "topic_id"),
    ),
    row("DELETE /topics/{topic_id}", _KNOWN_TOPICS, etag=("topics", "topic_id")),
    row("GET /topics/{topic_id}/components", _TOPICS),
    row("GET /topics/{topic_id}/failing_cases", _TOPICS),
    row("GET /topics/{topic_id}/components/{component_id}/jobs", _with_topics(_READABLE)),
    row("POST /topics/{topic_id}/notifications", [_subscribing(target) for target in _TOPICS]),
    row("DELETE /topics/{topic_id}/notifications", _KNOWN_TOPICS),
    row("GET /topics/{topic_id}/notifications/users", _KNOWN_TOPICS),
    row("GET /topics/notifications"),
    row("GET /topics/purge"),
    row("POST /topics/purge"),
    row("GET /components"),
    row(
        "POST /components",
        sent("global, exported", any_feeder, _new_component("topic exported")),
        sent("global, pre-release", any_feeder, _new_component("topic pre-release")),
        [
            sent(f"{team}'s", of_team(team), _new_component("topic exported", team))
            for team in ("Blue", "Red", "Red Hat")
        ],
        sent("archived topic", of_team("Blue"), _new_component("topic archived", "Blue"), told=404),
        sent("absent topic", of_team("Blue"), _new_component("absent", "Blue"), told=409),
    ),
    row("GET /components/{component_id}", _components(_READABLE)),
    row(
        "PUT /components/{component_id}",
        _components(_WRITABLE),
        [
            Target(
                f"{name}, its tags",
                {"component_id": f"component {name}"},
                own,
                body=constant({"tags": ["success"]}),
            )
            for name, own in _TAGGABLE.items()
        ],
        body=constant({"title": "changed"}),
        etag=("components", "component_id"),
    ),
    row("DELETE /components/{component_id}", _components(_WRITABLE), etag=("components", "component_id")),
    row("GET /components/{component_id}/files", _components(_READABLE)),
    row("POST /components/{component_id}/files", _components(_WRITABLE), body=lambda _scene: CONTENT),
    row("GET /components/{component_id}/files/{file_id}", _files(_READABLE)),
    row("GET /components/{component_id}/files/{file_id}/content", _files(_READABLE)),
    row(
        "DELETE /components/{component_id}/files/{file_id}",
        _files(_WRITABLE),
        etag=("component_files", "file_id"),
    ),
    row("GET /components/{component_id}/files/{path}", _paths(_READABLE)),
    row("GET /api/v2/components/{component_id}/files/{path}", _paths(_READABLE)),
    row("GET /components/purge"),
    row("POST /components/purge"),
]
