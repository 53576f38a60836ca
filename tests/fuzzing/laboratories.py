# SPDX-License-Identifier: Apache-2.0
"""Remotecis, jobs and their components, and access between teams: a model in Python beside the server."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fuzzing.hub import Hub
from tests.signing import SignedBy

Some = TypeVar("Some")
Pick = st.integers(0, 15)

TEAMS = ("Blue", "Red")
MEMBER = {"Blue": "alice", "Red": "bob"}
READERS = ("admin", "epm", "reader")
_EMPTY = (
    "delete from jobs",
    "delete from components",
    "delete from remotecis where name like 'lab %'",
    "delete from teams_components_access",
    "update topics set export_control = true",
)


@dataclass(eq=False)
class Thing:
    id: str
    etag: str
    team: str | None
    lives: bool = True


@dataclass(eq=False, kw_only=True)
class Lab(Thing):
    who: str


@dataclass(eq=False, kw_only=True)
class Job(Thing):
    lab: Lab
    components: set[Thing] = field(default_factory=set[Thing])


class Laboratories(RuleBasedStateMachine):
    """Whatever is refused leaves nothing behind; whatever is gone is gone for everybody."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.hub.empty(*_EMPTY)
        self.made = 0
        self.exported = True
        self.opened: set[tuple[str, str]] = set()
        self.components: list[Thing] = []
        self.jobs: list[Job] = []
        self.labs = [
            Lab(hub.cast.ids[who], "", team, who=who) for who, team in (("blue_lab", "Blue"), ("red_lab", "Red"))
        ]

    @property
    def topic(self) -> str:
        return self.hub.cast.ids["RHEL-9.6"]

    # --- what happens ---

    @initialize()
    def begin(self) -> None:
        self.add_component(None)
        self.add_component("Blue")
        self.run_job(0, [0, 1])

    @rule(team=st.sampled_from((None, *TEAMS)))
    def add_component(self, team: str | None) -> None:
        new: dict[str, object] = {"name": self._name("component"), "type": "compose", "topic_id": self.topic}
        owned = {"team_id": self.hub.cast.ids[team]} if team else {}
        row = self.hub.made("admin", "/components", new | owned, "component")
        self.components.append(Thing(row["id"], row["etag"], team))

    @precondition(lambda self: any(each.lives for each in self.components))
    @rule(which=Pick)
    def archive_component(self, which: int) -> None:
        of = self._one(which, [each for each in self.components if each.lives])
        assert self.hub.call("admin", "DELETE", f"/components/{of.id}", etag=of.etag).status_code == 204
        of.lives = False

    @rule()
    def purge_components(self) -> None:
        assert self.hub.call("admin", "POST", "/components/purge").status_code == 204
        self.components = [each for each in self.components if each.lives]
        for job in self.jobs:
            job.components &= set(self.components)

    @rule(reader=st.sampled_from(TEAMS), opens=st.booleans())
    def open_components(self, reader: str, opens: bool) -> None:
        """Of the other team, to this one."""
        owner = "Red" if reader == "Blue" else "Blue"
        path = f"/teams/{self.hub.cast.ids[reader]}/permissions/components"
        body = {"teams_ids": [self.hub.cast.ids[owner]]}
        assert self.hub.call("epm", "POST" if opens else "DELETE", path, body).status_code == (201 if opens else 204)
        self.opened = self.opened | {(reader, owner)} if opens else self.opened - {(reader, owner)}

    @rule(exported=st.booleans())
    def export(self, exported: bool) -> None:
        etag = self.hub.call("admin", "GET", f"/topics/{self.topic}").headers["etag"]
        changed = self.hub.call("admin", "PUT", f"/topics/{self.topic}", {"export_control": exported}, etag)
        assert changed.status_code == 200
        self.exported = exported

    @rule(team=st.sampled_from(TEAMS))
    def enrol(self, team: str) -> None:
        who = self._name("lab")
        row = self.hub.made(MEMBER[team], "/remotecis", {"name": who, "team_id": self.hub.cast.ids[team]}, "remoteci")
        self.hub.enrol(who, SignedBy(f"remoteci/{row['id']}", row["api_secret"]))
        self.labs.append(Lab(row["id"], row["etag"], team, who=who))

    @precondition(lambda self: any(each.lives and each.etag for each in self.labs))
    @rule(which=Pick)
    def retire(self, which: int) -> None:
        """Its jobs go with it, and nobody signs as it again."""
        of = self._one(which, [each for each in self.labs if each.lives and each.etag])
        answer = self.hub.call(MEMBER[str(of.team)], "DELETE", f"/remotecis/{of.id}", etag=of.etag)
        assert answer.status_code == 204, answer.text
        of.lives = False
        for job in self.jobs:
            job.lives = job.lives and job.lab is not of
        assert self.hub.call(of.who, "GET", "/identity").status_code == 401

    @rule()
    def purge_remotecis(self) -> None:
        assert self.hub.call("admin", "POST", "/remotecis/purge").status_code == 204
        self.labs = [each for each in self.labs if each.lives]
        self.jobs = [job for job in self.jobs if job.lab in self.labs]

    @rule(lab=Pick, picks=st.lists(Pick, max_size=3))
    def run_job(self, lab: int, picks: list[int]) -> None:
        of = self._one(lab, [each for each in self.labs if each.lives])
        wanted = [self._one(pick, self.components) for pick in picks] if self.components else []
        new = {"topic_id": self.topic, "components": [each.id for each in wanted]}

        answer = self.hub.call(of.who, "POST", "/jobs", new)

        refusals = {404 for each in wanted if not each.lives} | {401 for each in wanted if not self._is_open(of, each)}
        if not self.exported:
            refusals = {401}
        assert answer.status_code in (refusals or {201}), answer.text
        if not refusals:
            self._keep(of, answer.json()["job"], wanted)

    @rule(lab=Pick)
    def schedule(self, lab: int) -> None:
        """The newest of the global ones."""
        of = self._one(lab, [each for each in self.labs if each.lives])
        possible = [each for each in self.components if each.lives and each.team is None]

        answer = self.hub.call(of.who, "POST", "/jobs/schedule", {"topic_id": self.topic})

        assert answer.status_code == (401 if not self.exported else 201 if possible else 412), answer.text
        if answer.status_code == 201:
            self._keep(of, answer.json()["job"], possible[-1:])

    @precondition(lambda self: any(job.lives for job in self.jobs))
    @rule(which=Pick, team=st.sampled_from(TEAMS), archives=st.booleans(), knows=st.booleans())
    def change_job(self, which: int, team: str, archives: bool, knows: bool) -> None:
        """Members may, with the etag; otherwise it is refused and nothing has changed."""
        of = self._one(which, [job for job in self.jobs if job.lives])
        before = self.hub.call("admin", "GET", f"/jobs/{of.id}").json()
        call = ("DELETE", f"/jobs/{of.id}", None) if archives else ("PUT", f"/jobs/{of.id}", {"name": self._name("j")})

        assert self.hub.call(MEMBER[team], *call).status_code in ({412} if team == of.team else {401, 404, 412})
        answer = self.hub.call(MEMBER[team], *call, etag=of.etag if knows else "0" * 32)

        if team != of.team or not knows:
            refusals = {404, 409} if team == of.team else {401} if knows else {401, 404, 409}
            assert answer.status_code in refusals, answer.text
            assert self.hub.call("admin", "GET", f"/jobs/{of.id}").json() == before
        elif archives:
            assert answer.status_code == 204
            of.lives = False
        else:
            assert answer.status_code == 200
            of.etag = answer.json()["job"]["etag"]

    @rule()
    def purge_jobs(self) -> None:
        answer = self.hub.call("admin", "POST", "/jobs/purge")
        assert answer.status_code == 204, answer.text
        self.jobs = [job for job in self.jobs if job.lives]

    # --- what always holds ---

    @invariant()
    def everybody_lists_the_jobs_of_their_team(self) -> None:
        living = [job for job in self.jobs if job.lives]
        for who in READERS:
            assert self.hub.ids(who, "/jobs", "jobs") == _ids(living)
        assert self.hub.ids("nobody", "/jobs", "jobs") == set()
        for team, member in MEMBER.items():
            own = _ids(job for job in living if job.team == team)
            for who in (member, *(lab.who for lab in self.labs[-3:] if lab.lives and lab.team == team)):
                assert self.hub.ids(who, "/jobs", "jobs") == own

    @invariant()
    def the_other_team_lists_no_private_component(self) -> None:
        for team, member in MEMBER.items():
            shown = [each for each in self.components if each.lives and self._is_open_to(team, each)]
            expected = _ids(shown) if self.exported else set[str]()
            assert self.hub.ids(member, "/components", "components") == expected

    @precondition(lambda self: self.jobs)
    @rule(which=Pick)
    def everybody_reads_a_job_with_its_components(self, which: int) -> None:
        of = self._one(which, self.jobs)
        for who in ("alice", "bob", "nobody", *READERS):
            may = of.lives and (who in READERS or MEMBER[str(of.team)] == who)
            answer = self.hub.call(who, "GET", f"/jobs/{of.id}")
            assert answer.status_code == (200 if may else 404), answer.text
            if may:
                assert {each["id"] for each in answer.json()["job"]["components"]} == _ids(of.components)

    # --- small words ---

    def _is_open_to(self, team: str | None, component: Thing) -> bool:
        return component.team in (None, team) or (team, component.team) in self.opened

    def _is_open(self, lab: Lab, component: Thing) -> bool:
        return self._is_open_to(lab.team, component)

    def _keep(self, lab: Lab, row: dict[str, str], components: Sequence[Thing]) -> None:
        self.jobs.append(Job(row["id"], row["etag"], lab.team, lab=lab, components=set(components)))

    def _one(self, which: int, things: Sequence[Some]) -> Some:
        return things[which % len(things)]

    def _name(self, noun: str) -> str:
        self.made += 1
        return f"{noun} {self.made}"


def _ids(things: Iterable[Thing]) -> set[str]:
    return {thing.id for thing in things}
