# SPDX-License-Identifier: Apache-2.0
"""Who calls, and what there is to call upon: the cast of `tests/conftest.py`, and one of everything for each team.

Blue and Red have the product RHEL, of which one topic is exported and one is not; Red Hat and admin have OpenShift too.
Only admin has pre-release access. Yellow lets Blue read its components. Green has no product.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from dci_server.foundation.auth.identity import Identity, SpecialTeams, TeamOfCaller
from dci_server.foundation.auth.passwords import hash_password
from dci_server.foundation.auth.secret_box import new_secret
from dci_server.foundation.storage import Store
from tests.conftest import World

CONTENT = b'<testsuite name="all" tests="1"><testcase name="one" classname="a"/></testsuite>'
ABSENT = "6b1f9e2a-0000-4000-8000-00000000dead"
PASSWORD = "correct horse"

OWNERS = ("Blue", "Red", "Red Hat")
"""Of each of these there is a remoteci, a feeder, a job and so on."""


@dataclass(frozen=True)
class Caller:
    """`teams` are those of the user or client; `scope` is the one named in X-Dci-Team-Id."""

    name: str
    kind: Literal["user", "remoteci", "feeder", "stranger"]
    teams: Sequence[str] = ()
    scope: str | None = None
    login: str = ""


CALLERS = (
    Caller("admin", "user", ["admin"], login="admin_user"),
    Caller("epm", "user", ["EPM"]),
    Caller("reader", "user", ["Red Hat"]),
    Caller("alice", "user", ["Blue"]),
    Caller("bob", "user", ["Red"]),
    Caller("green", "user", ["Green"]),
    Caller("nobody", "user"),
    Caller("both", "user", ["Blue", "Red Hat"]),
    Caller("both@Blue", "user", ["Blue", "Red Hat"], scope="Blue", login="both"),
    Caller("both@RedHat", "user", ["Blue", "Red Hat"], scope="Red Hat", login="both"),
    Caller("boss@Blue", "user", ["admin", "Blue"], scope="Blue", login="boss"),
    Caller("blue_lab", "remoteci", ["Blue"]),
    Caller("red_lab", "remoteci", ["Red"]),
    Caller("hat_lab", "remoteci", ["Red Hat"]),
    Caller("admin_lab", "remoteci", ["admin"]),
    Caller("blue_feeder", "feeder", ["Blue"]),
    Caller("hat_feeder", "feeder", ["Red Hat"]),
    Caller("stranger", "stranger"),
)


@dataclass
class Scene:
    """Everything by name: `Blue`, `job of Blue`, `topic exported`; teams as the callers' identities have them."""

    ids: dict[str, str]
    keys: dict[str, str]
    topics: dict[str, "Topic"] = field(default_factory=dict[str, "Topic"])
    attached: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    teams: dict[str, TeamOfCaller] = field(default_factory=dict[str, TeamOfCaller])

    def id(self, name: str) -> str:
        return self.ids[name]

    def value(self, name: str) -> str:
        """The id of what has the name; a text in single quotes is itself."""
        return name.strip("'") if name.startswith("'") else self.ids[name]

    def own_id(self, caller: Caller) -> str:
        """The name of the caller in the scene."""
        login = caller.login or caller.name
        return {"user": f"user {login.removesuffix('_user')}", "stranger": "absent"}.get(caller.kind, caller.name)

    def identity_of(self, caller: Caller) -> Identity | None:
        if caller.kind == "stranger":
            return None
        names = caller.teams if caller.scope is None else [caller.scope]
        return Identity(
            kind=caller.kind,
            id=UUID(self.ids[self.own_id(caller)]),
            name=None,
            fullname=None,
            email=None,
            timezone=None,
            etag=None,
            teams=tuple(self.teams[name] for name in names),
            special_teams=SpecialTeams(
                UUID(self.ids["admin"]), UUID(self.ids["Red Hat"]), UUID(self.ids["EPM"])
            ),
        )  # fmt: skip


@dataclass(frozen=True)
class Topic:
    product: str
    is_exported: bool


async def build_scene(world: World, store: Store) -> Scene:
    scene = Scene(world.ids, world.keys)
    await _add_teams(world, scene)
    await _add_callers(world)
    await _add_products_and_topics(world, scene)
    await _add_components(world, store)
    for owner in OWNERS:
        await _add_what_a_team_has(world, owner)
    await _add_what_was_archived(world, store)
    await _add_links(world)
    await world.db.execute("update jobs_events_sequence set etag = repeat('0', 32)")
    for job in (*(f"job of {owner}" for owner in OWNERS), "job archived", "absent"):
        world.ids[f"metadata for {job}"] = f"name eA==,job_id {b64encode(world.ids[job].encode()).decode()}"
    for name, owner in (*((f"of {owner}", owner) for owner in OWNERS), ("of the hub", None)):
        await _add_webhook(world, f"webhook {name}", owner)
    return scene


async def _add_teams(world: World, scene: Scene) -> None:
    for name, values in (("Green", {}), ("Yellow", {}), ("archived team", {"state": "archived"})):
        world.ids[name] = await world.add("teams", name=name, **values)
    await world.db.execute("update teams set has_pre_release_access = true where name = 'admin'")
    for row in await world.db.fetch("select id, name, state, has_pre_release_access from teams"):
        scene.teams[row["name"]] = TeamOfCaller(**dict(row))


async def _add_callers(world: World) -> None:
    """Those of the callers that are not in the cast."""
    hashed = hash_password(PASSWORD)
    for name, teams in (("green", ["Green"]), ("both", ["Blue", "Red Hat"]), ("boss", ["admin", "Blue"])):
        await _add_user(world, name, teams, password_hash=hashed)
    for name in ("archived user", "loner"):
        state = "archived" if name == "archived user" else "active"
        await _add_user(world, name, ["Blue"] if state == "archived" else [], state=state)
    for name, kind, team in (
        ("hat_lab", "remoteci", "Red Hat"),
        ("admin_lab", "remoteci", "admin"),
        ("hat_feeder", "feeder", "Red Hat"),
    ):
        await _add_client(world, name, kind, team)


async def _add_user(world: World, name: str, teams: Sequence[str], **values: object) -> None:
    key = f"user {name}"
    world.ids[key] = await world.add(
        "users", name=name, fullname=name.title(), email=f"{name.replace(' ', '_')}@example.org", **values
    )
    for team in teams:
        await world.add("users_teams", user_id=world.ids[key], team_id=world.ids[team])


async def _add_client(world: World, name: str, kind: str, team: str, **values: object) -> None:
    identifier, secret = uuid4(), new_secret()
    world.keys[name] = secret
    world.ids[name] = await world.add(f"{kind}s", id=identifier, name=name, team_id=world.ids[team], **values)
    sealed = world.secrets.seal(secret, identifier)
    world.ids[f"secret of {name}"] = await world.add(
        "client_secrets", **{f"{kind}_id": identifier, "sealed_secret": sealed}
    )


async def _add_products_and_topics(world: World, scene: Scene) -> None:
    products: Mapping[str, tuple[str, ...]] = {
        "RHEL": ("Blue", "Red", "Red Hat", "admin", "Yellow"),
        "OpenShift": ("Red Hat", "admin"),
        "archived product": ("Blue", "Red Hat", "admin"),
    }
    for product, teams in products.items():
        state = "archived" if product == "archived product" else "active"
        if product not in world.ids:
            world.ids[product] = await world.add("products", name=product, label=product.upper(), state=state)
        scene.attached[product] = frozenset(teams)
        for team in set(teams) - ({"Blue", "Red"} if product == "RHEL" else set()):
            await world.add("products_teams", product_id=world.ids[product], team_id=world.ids[team])
    world.ids["topic exported"] = world.ids["RHEL-9.6"]
    scene.topics["topic exported"] = Topic("RHEL", is_exported=True)
    for name, product, is_exported in (
        ("topic pre-release", "RHEL", False),
        ("topic of OpenShift", "OpenShift", True),
        ("topic of archived product", "archived product", True),
        ("topic archived", "RHEL", True),
        ("topic next", "RHEL", True),
    ):
        scene.topics[name] = Topic(product, is_exported)
        world.ids[name] = await world.add(
            "topics",
            name=name,
            product_id=world.ids[product],
            component_types=[] if name == "topic next" else ["compose"],
            export_control=is_exported,
            state="archived" if name == "topic archived" else "active",
        )
    await world.db.execute(
        "update topics set next_topic_id = $1 where id = $2", world.ids["topic next"], world.ids["topic exported"]
    )


async def _add_components(world: World, store: Store) -> None:
    for name, topic, team, state in (
        ("global exported", "topic exported", None, "active"),
        ("global pre-release", "topic pre-release", None, "active"),
        ("global of OpenShift", "topic of OpenShift", None, "active"),
        ("of Blue", "topic exported", "Blue", "active"),
        ("of Red", "topic exported", "Red", "active"),
        ("of Red Hat", "topic exported", "Red Hat", "active"),
        ("granted to Blue", "topic exported", "Yellow", "active"),
        ("archived", "topic exported", "Blue", "archived"),
    ):
        component_id = await world.add(
            "components",
            name=f"component {name}",
            display_name=f"component {name}",
            version="1",
            type="compose" if team is None else "own",
            topic_id=world.ids[topic],
            team_id=world.ids[team] if team else None,
            state=state,
        )
        world.ids[f"component {name}"] = component_id
        await _add_component_file(world, store, f"component file {name}", component_id)
        await _put(store, f"components/{component_id}/a/b.txt")
    await _add_component_file(
        world, store, "component file archived of Blue", world.ids["component of Blue"], "archived"
    )


async def _add_component_file(world: World, store: Store, name: str, component_id: str, state: str = "active") -> None:
    identifier = uuid4()
    key = f"components/{component_id}/{identifier}"
    await _put(store, key)
    world.ids[name] = await world.add(
        "component_files", id=identifier, name=str(identifier), size=len(CONTENT), key=key, component_id=component_id,
        mime="text/plain", state=state,
    )  # fmt: skip


async def _put(store: Store, key: str) -> None:
    upload = await store.begin()
    await upload.write(CONTENT)
    await upload.commit(key)


async def _add_what_a_team_has(world: World, owner: str) -> None:
    await _add_client(world, f"remoteci of {owner}", "remoteci", owner)
    await _add_client(world, f"feeder of {owner}", "feeder", owner)
    world.ids[f"pipeline of {owner}"] = await world.add("pipelines", name="nightly", team_id=world.ids[owner])
    await _add_job(world, f"job of {owner}", owner)
    await _add_file(world, f"file of {owner}", f"job of {owner}", owner)
    world.ids[f"upload of {owner}"] = await world.add(
        "uploads", name="x", metadata="", length=10, expires_at=datetime(2200, 1, 1), job_id=world.ids[f"job of {owner}"],
        team_id=world.ids[owner],
    )  # fmt: skip


async def _add_job(world: World, name: str, owner: str, **values: object) -> None:
    world.ids[name] = await world.add(
        "jobs",
        remoteci_id=world.ids[f"remoteci of {owner}"],
        team_id=world.ids[owner],
        topic_id=world.ids["topic exported"],
        product_id=world.ids["RHEL"],
        **values,
    )
    await world.add("jobs_components", job_id=world.ids[name], component_id=world.ids["component global exported"])
    world.ids[f"jobstate of {name}"] = await world.add("jobstates", job_id=world.ids[name], status="running")


async def _add_file(world: World, name: str, job: str, owner: str, **values: object) -> None:
    world.ids[name] = await world.add(
        "files",
        name="junit.xml",
        mime="application/junit",
        sha256="",
        size=len(CONTENT),
        job_id=world.ids[job],
        team_id=world.ids[owner],
        **values,
    )
    await world.add("files_contents", file_id=UUID(world.ids[name]), is_compressed=False, bytes=CONTENT)


async def _add_what_was_archived(world: World, store: Store) -> None:
    await _add_client(world, "remoteci archived", "remoteci", "Blue", state="archived")
    await _add_client(world, "feeder archived", "feeder", "Blue", state="archived")
    world.ids["pipeline archived"] = await world.add(
        "pipelines", name="weekly", team_id=world.ids["Blue"], state="archived"
    )
    await _add_job(world, "job archived", "Blue", state="archived")
    await _add_file(world, "file archived", "job of Blue", "Blue", state="archived")


async def _add_links(world: World) -> None:
    """Grants, subscriptions."""
    await world.add("teams_components_access", team_id=world.ids["Blue"], access_team_id=world.ids["Yellow"])
    for owner in OWNERS:
        await world.add(
            "users_remotecis", user_id=world.ids["user loner"], remoteci_id=world.ids[f"remoteci of {owner}"]
        )


async def _add_webhook(world: World, name: str, owner: str | None) -> None:
    identifier, secret = uuid4(), new_secret()
    world.keys[name] = secret
    world.ids[name] = await world.add(
        "webhooks",
        id=identifier,
        name=name,
        url="https://ci.example.org/hook",
        team_id=world.ids[owner] if owner else None,
        sealed_secret=world.secrets.seal(secret, identifier),
    )
    world.ids[f"delivery to {name}"] = await world.add(
        "webhooks_deliveries",
        webhook_id=identifier,
        event_id=0,
        type="job_created",
        subject_id=uuid4(),
        body="{}",
        state="delivered",
    )
