# SPDX-License-Identifier: Apache-2.0
"""Teams, products, topics and components, and who sees them: a model in Python beside the server."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fuzzing.hub import Hub

Pick = st.integers(0, 7)

PEOPLE = ("alice", "bob")
EVERYBODY = ("admin", "epm", "reader", *PEOPLE)
NOUNS = ("teams", "products", "topics", "components")
_EMPTY = (
    "delete from components",
    "delete from topics",
    "delete from products",
    "delete from teams where role is null",
)


@dataclass(eq=False)
class Thing:
    """What is in the server, as the model knows it."""

    id: str
    etag: str
    state: str = "active"

    @property
    def lives(self) -> bool:
        return self.state != "archived"


SomeThing = TypeVar("SomeThing", bound=Thing)


@dataclass(eq=False)
class Team(Thing):
    pre_release: bool = False
    members: set[str] = field(default_factory=set[str])
    products: set["Product"] = field(default_factory=set["Product"])
    reads: set["Team"] = field(default_factory=set["Team"])


@dataclass(eq=False)
class Product(Thing):
    pass


@dataclass(eq=False, kw_only=True)
class Topic(Thing):
    product: Product
    exported: bool


@dataclass(eq=False, kw_only=True)
class Component(Thing):
    topic: Topic
    team: Team | None


class Catalogue(RuleBasedStateMachine):
    """Rules change the server and the model alike; after each one everybody sees what the contract says."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.hub.empty(*_EMPTY)
        self.made = 0
        self.teams: list[Team] = []
        self.products: list[Product] = []
        self.topics: list[Topic] = []
        self.components: list[Component] = []
        self.gone: list[str] = []
        for person in PEOPLE:
            self.hub.settle(person, set())

    # --- who may see what (permissions.md) ---

    def teams_of(self, person: str) -> list[Team]:
        return [team for team in self.teams if person in team.members and team.state == "active"]

    def sees_team(self, who: str, team: Team) -> bool:
        return team.lives and (who not in PEOPLE or team in self.teams_of(who))

    def sees_product(self, who: str, product: Product) -> bool:
        """§2.1."""
        return product.lives and (who not in PEOPLE or any(product in team.products for team in self.teams_of(who)))

    def uses_topic(self, who: str, topic: Topic) -> bool:
        """§2.2."""
        if who not in PEOPLE:
            return True
        has_pre_release = any(team.pre_release for team in self.teams_of(who))
        return self.sees_product(who, topic.product) and (topic.exported or has_pre_release)

    def is_open_to(self, who: str, component: Component) -> bool:
        """§2.3 and §2.5: global, of one's own team, or of a team that opened its components."""
        own = self.teams_of(who)
        return component.team is None or component.team in own or any(component.team in team.reads for team in own)

    def reads_component(self, who: str, component: Component) -> bool:
        if who not in PEOPLE:
            return True
        if component.team is None:
            return self.uses_topic(who, component.topic)
        return self.is_open_to(who, component)

    def lists_component(self, who: str, component: Component) -> bool:
        """§2.4, and decision 39: an EPM's list is a super admin's."""
        if not component.lives:
            return False
        if who in ("admin", "epm"):
            return True
        return component.topic.lives and self.uses_topic(who, component.topic) and self.is_open_to(who, component)

    # --- what happens ---

    @initialize()
    def begin(self) -> None:
        self.add_team(pre_release=False)
        self.add_team(pre_release=True)
        self.add_product()
        self.attach(0, 0)
        self.attach(1, 0)
        self.join(0, "alice")
        self.join(1, "bob")
        self.add_topic(0, exported=True)
        self.add_component(0, 0)

    @rule(pre_release=st.booleans())
    def add_team(self, pre_release: bool) -> None:
        row = self.hub.made("admin", "/teams", {"name": self._name(), "has_pre_release_access": pre_release}, "team")
        self.teams.append(Team(row["id"], row["etag"], pre_release=pre_release))

    @rule()
    def add_product(self) -> None:
        row = self.hub.made("admin", "/products", {"name": self._name()}, "product")
        self.products.append(Product(row["id"], row["etag"]))

    @precondition(lambda self: self._living(self.products))
    @rule(product=Pick, exported=st.booleans())
    def add_topic(self, product: int, exported: bool) -> None:
        of = self._living(self.products)[product % len(self._living(self.products))]
        new = {"name": self._name(), "product_id": of.id, "export_control": exported}
        row = self.hub.made("epm", "/topics", new, "topic")
        self.topics.append(Topic(row["id"], row["etag"], product=of, exported=exported))

    @precondition(lambda self: self._living(self.topics))
    @rule(topic=Pick, team=st.none() | Pick)
    def add_component(self, topic: int, team: int | None) -> None:
        of = self._living(self.topics)[topic % len(self._living(self.topics))]
        owners = self._living(self.teams)
        owner = owners[team % len(owners)] if team is not None and owners else None
        new: dict[str, object] = {"name": self._name(), "type": "compose", "topic_id": of.id}
        row = self.hub.made("admin", "/components", new | ({"team_id": owner.id} if owner else {}), "component")
        self.components.append(Component(row["id"], row["etag"], topic=of, team=owner))

    @precondition(lambda self: self._living(self.teams))
    @rule(team=Pick, person=st.sampled_from(PEOPLE))
    def join(self, team: int, person: str) -> None:
        of = self._living(self.teams)[team % len(self._living(self.teams))]
        assert self.hub.call("admin", "POST", f"/teams/{of.id}/users/{self._user(person)}").status_code == 201
        of.members.add(person)
        self._settle()

    @precondition(lambda self: self._living(self.teams))
    @rule(team=Pick, person=st.sampled_from(PEOPLE))
    def leave(self, team: int, person: str) -> None:
        of = self._living(self.teams)[team % len(self._living(self.teams))]
        assert self.hub.call("epm", "DELETE", f"/teams/{of.id}/users/{self._user(person)}").status_code == 204
        of.members.discard(person)
        self._settle()

    @precondition(lambda self: self._living(self.teams) and self._living(self.products))
    @rule(team=Pick, product=Pick)
    def attach(self, team: int, product: int) -> None:
        of, what = self._pair(team, product)
        answer = self.hub.call("epm", "POST", f"/products/{what.id}/teams", {"team_id": of.id})
        assert answer.status_code == 201, answer.text
        of.products.add(what)

    @precondition(lambda self: self._living(self.teams) and self._living(self.products))
    @rule(team=Pick, product=Pick)
    def detach(self, team: int, product: int) -> None:
        of, what = self._pair(team, product)
        answer = self.hub.call("epm", "DELETE", f"/products/{what.id}/teams/{of.id}")
        assert answer.status_code == 204, answer.text
        of.products.discard(what)

    @precondition(lambda self: self._living(self.teams))
    @rule(reader=Pick, owner=Pick, opens=st.booleans())
    def open_components(self, reader: int, owner: int, opens: bool) -> None:
        living = self._living(self.teams)
        gains, gives = living[reader % len(living)], living[owner % len(living)]
        path, body = f"/teams/{gains.id}/permissions/components", {"teams_ids": [gives.id]}
        answer = self.hub.call("admin", "POST" if opens else "DELETE", path, body)
        assert answer.status_code == (201 if opens else 204), answer.text
        if opens and gains is not gives:
            gains.reads.add(gives)
        if not opens:
            gains.reads.discard(gives)

    @precondition(lambda self: self._living(self.topics))
    @rule(topic=Pick, exported=st.booleans())
    def export(self, topic: int, exported: bool) -> None:
        of = self._living(self.topics)[topic % len(self._living(self.topics))]
        self._change("topics", of, {"export_control": exported})
        of.exported = exported

    @precondition(lambda self: self._living(self.teams))
    @rule(team=Pick, state=st.sampled_from(["active", "inactive"]), pre_release=st.booleans())
    def change_team(self, team: int, state: str, pre_release: bool) -> None:
        of = self._living(self.teams)[team % len(self._living(self.teams))]
        self._change("teams", of, {"state": state, "has_pre_release_access": pre_release})
        of.state, of.pre_release = state, pre_release
        self._settle()

    @precondition(lambda self: self._changeable())
    @rule(which=st.integers(0, 30), change=st.booleans())
    def change_with_an_etag_that_is_old(self, which: int, change: bool) -> None:
        """Refused, and nothing has changed. The statuses are the contract's (conventions §5)."""
        noun, of = self._changeable()[which % len(self._changeable())]
        before = self.hub.call("admin", "GET", f"/{noun}/{of.id}").json()
        call = ("PUT", f"/{noun}/{of.id}", {"name": self._name()}) if change else ("DELETE", f"/{noun}/{of.id}", None)

        assert self.hub.call("admin", *call).status_code == 412
        stale = self.hub.call("admin", *call, etag="0" * 32)

        assert stale.status_code == (409 if noun == "teams" or (noun, change) == ("products", False) else 404)
        assert self.hub.call("admin", "GET", f"/{noun}/{of.id}").json() == before

    @precondition(lambda self: self._changeable())
    @rule(which=st.integers(0, 30), by_change=st.booleans())
    def archive(self, which: int, by_change: bool) -> None:
        """By DELETE, or by a change of the state, which is the same (decision 31)."""
        noun, of = self._changeable()[which % len(self._changeable())]
        if by_change:
            answer = self.hub.call("admin", "PUT", f"/{noun}/{of.id}", {"state": "archived"}, of.etag)
        else:
            answer = self.hub.call("admin", "DELETE", f"/{noun}/{of.id}", etag=of.etag)
        assert answer.status_code == (200 if by_change else 204), answer.text
        of.state = "archived"
        self.gone.append(f"/{noun}/{of.id}")
        if isinstance(of, Team):
            of.members.clear()
            self._settle()
        if isinstance(of, Topic):
            for component in self.components:
                if component.topic is of and component.lives:
                    component.state = "archived"
                    self.gone.append(f"/components/{component.id}")

    @rule(noun=st.sampled_from(NOUNS))
    def purge(self, noun: str) -> None:
        """For good, with what depends on it; nothing at all when a topic still needs one of the products."""
        before = {thing.id for thing in self._things(noun) if not thing.lives}
        assert self.hub.ids("admin", f"/{noun}/purge", noun) == before
        needed = noun == "products" and any(not topic.product.lives for topic in self.topics)

        answer = self.hub.call("admin", "POST", f"/{noun}/purge")

        assert answer.status_code == (409 if needed else 204), answer.text
        if not needed:
            self._forget(noun)

    # --- what always holds ---

    @invariant()
    def everybody_lists_what_they_may_see(self) -> None:
        for who in EVERYBODY:
            roles = set(self._roles()) if who not in PEOPLE else set[str]()
            assert self.hub.ids(who, "/teams", "teams") == roles | self._ids(
                team for team in self.teams if self.sees_team(who, team)
            )
            assert self.hub.ids(who, "/products", "products") == self._ids(
                product for product in self.products if self.sees_product(who, product)
            )
            assert self.hub.ids(who, "/topics", "topics") == self._ids(
                topic for topic in self.topics if topic.lives and self.uses_topic(who, topic)
            )
            assert self.hub.ids(who, "/components", "components") == self._ids(
                component for component in self.components if self.lists_component(who, component)
            )

    @rule(which=st.integers(0, 60))
    def everybody_reads_what_they_may_see(self, which: int) -> None:
        everything = self._everything()
        if not everything:
            return
        noun, of = everything[which % len(everything)]
        for who in EVERYBODY:
            assert self.hub.call(who, "GET", f"/{noun}/{of.id}").status_code == self._status_of_reading(who, of)

    @precondition(lambda self: self.gone)
    @rule(which=st.integers(0, 60), who=st.sampled_from(EVERYBODY), method=st.sampled_from(["GET", "PUT", "DELETE"]))
    def what_is_gone_stays_gone(self, which: int, who: str, method: str) -> None:
        path = self.gone[which % len(self.gone)]
        body = {"state": "active"} if method == "PUT" else None
        answer = self.hub.call("admin" if method != "GET" else who, method, path, body, "0" * 32)
        assert answer.status_code in ((404, 409) if method != "GET" else (404,)), answer.text

    def _status_of_reading(self, who: str, of: Thing) -> int:
        if not of.lives:
            return 404
        if isinstance(of, Team):
            return 200 if self.sees_team(who, of) else 401
        if isinstance(of, Product):
            return 200 if self.sees_product(who, of) else 404
        if isinstance(of, Topic):
            return 200 if self.uses_topic(who, of) else 401 if of.product.lives else 404
        assert isinstance(of, Component)
        hidden = of.team is None and not of.topic.product.lives
        return 200 if self.reads_component(who, of) else 404 if hidden else 401

    # --- small words ---

    def _name(self) -> str:
        self.made += 1
        return f"thing {self.made}"

    def _user(self, person: str) -> str:
        return self.hub.cast.ids[f"user {person}"]

    def _roles(self) -> list[str]:
        return [self.hub.cast.ids[name] for name in ("admin", "EPM", "Red Hat")]

    def _ids(self, things: Iterable[Thing]) -> set[str]:
        return {thing.id for thing in things}

    def _living(self, things: Sequence[SomeThing]) -> list[SomeThing]:
        return [thing for thing in things if thing.lives]

    def _pair(self, team: int, product: int) -> tuple[Team, Product]:
        teams, products = self._living(self.teams), self._living(self.products)
        return teams[team % len(teams)], products[product % len(products)]

    def _things(self, noun: str) -> Sequence[Thing]:
        things: dict[str, Sequence[Thing]] = {
            "teams": self.teams,
            "products": self.products,
            "topics": self.topics,
            "components": self.components,
        }
        return things[noun]

    def _everything(self) -> list[tuple[str, Thing]]:
        return [(noun, thing) for noun in NOUNS for thing in self._things(noun)]

    def _changeable(self) -> list[tuple[str, Thing]]:
        return [(noun, thing) for noun, thing in self._everything() if thing.lives]

    def _change(self, noun: str, of: Thing, body: dict[str, object]) -> None:
        answer = self.hub.call("admin", "PUT", f"/{noun}/{of.id}", body, of.etag)
        assert answer.status_code == 200, answer.text
        changed = answer.json()[noun[:-1]]
        assert changed["etag"] != of.etag
        of.etag = changed["etag"]

    def _settle(self) -> None:
        for person in PEOPLE:
            self.hub.settle(person, {team.id for team in self.teams_of(person)})

    def _forget(self, noun: str) -> None:
        """What the database's foreign keys take along."""
        purged = [thing for thing in self._things(noun) if not thing.lives]
        self.teams = [team for team in self.teams if team not in purged]
        self.products = [product for product in self.products if product not in purged]
        self.topics = [topic for topic in self.topics if topic not in purged]
        kept = [each for each in self.components if not {each, each.team, each.topic} & set(purged)]
        self.gone += [f"/components/{each.id}" for each in self.components if each not in kept]
        self.components = kept
        for team in self.teams:
            team.products -= {product for product in purged if isinstance(product, Product)}
            team.reads -= {other for other in purged if isinstance(other, Team)}
