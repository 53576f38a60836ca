# SPDX-License-Identifier: Apache-2.0
"""An existing control server as its database and its two containers have it, with everything that can be odd about it."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
KEYED_BY_JOB_AND_KEY = """
    alter table jobs_keys_values drop constraint jobs_keys_values_pkey;
    alter table jobs_keys_values add primary key (job_id, key)
"""

PASSWORD = "old password"
PASSWORD_HASH = (
    "$6$rounds=656000$bXlzYWx0c2FsdA$"
    "fBTIYmgFIYCuruIOG4HR.VmLpDMOyOXynCJOHW/.DV7x6d6vT5.RqUXKksZ.yvNg7.NvGxaWtpCqzZc6immoi1"
)
SECRET = "kT3vQ9mZx7LrB2wYc5NdF8hJg1PsA6uEoR4iVtKpXbMzWqCyDnHaSjGfUeLl0O2k"

_WITH_ETAG = {
    "users", "teams", "products", "topics", "remotecis", "feeders", "components", "component_files", "pipelines", "jobs",
    "files",
}  # fmt: skip
_WITH_TIMES = _WITH_ETAG | {"tests_results"}
_BEGINNING = datetime(2021, 3, 4, 5, 6, 7, 890123)


@dataclass
class OldHub:
    db: "asyncpg.Connection[asyncpg.Record]"
    url: str
    files: Path
    components: Path
    ids: dict[str, UUID] = field(default_factory=dict[str, UUID])
    rows: int = 0

    async def add(self, table: str, called: str = "", **values: Any) -> UUID:
        """A row with the columns that the application would fill; its id, also kept under the name."""
        self.rows += 1
        moment = _BEGINNING + timedelta(seconds=self.rows)
        given: dict[str, Any] = {"id": uuid4(), "created_at": moment}
        if table in _WITH_TIMES:
            given["updated_at"] = moment + timedelta(milliseconds=1)
        if table in _WITH_ETAG:
            given |= {"etag": uuid4().hex, "state": "active"}
        given |= {name: json.dumps(value) if _is_json(name, value) else value for name, value in values.items()}
        await self._insert(table, given)
        self.ids[called or str(values.get("name", ""))] = given["id"]
        return given["id"]

    async def link(self, table: str, **values: Any) -> None:
        await self._insert(table, values)

    async def _insert(self, table: str, given: dict[str, Any]) -> None:
        columns = ", ".join(given)
        places = ", ".join(f"${number}" for number in range(1, len(given) + 1))
        await self.db.execute(f"insert into {table} ({columns}) values ({places})", *given.values())

    async def file(self, called: str, content: bytes | None, **values: Any) -> UUID:
        """A file of the job, and its object; without an object when there is no content."""
        job: UUID = values.get("job_id") or self.ids["job"]
        facts = {"name": called, "job_id": job, "team_id": self.ids["Blue"], "size": len(content or b"")}
        identifier = await self.add("files", called, **(facts | values))
        if content is not None:
            write(self.files / str(self.ids["Blue"]) / str(job) / str(identifier), content)
        return identifier

    async def component_file(self, called: str, content: bytes | None, **values: Any) -> UUID:
        facts = {"name": called, "component_id": self.ids["compose"], "size": len(content or b"")}
        identifier = await self.add("component_files", called, **(facts | values))
        if content is not None:
            write(self.components / str(self.ids["RHEL-9.6"]) / str(self.ids["compose"]) / str(identifier), content)
        return identifier

    async def job(self, called: str = "", **values: Any) -> UUID:
        facts = {
            "status": "success", "duration": 42, "topic_id": self.ids["RHEL-9.6"], "product_id": self.ids["RHEL"],
            "remoteci_id": self.ids["blue_lab"], "team_id": self.ids["Blue"], "tags": ["nightly"], "data": {"a": 1},
        }  # fmt: skip
        return await self.add("jobs", called, **(facts | values))


def _is_json(name: str, value: Any) -> bool:
    return name in {"data", "component_types", "component_types_optional"} and not isinstance(value, str)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def fill(hub: OldHub) -> None:
    """A small hub without anything odd: Alice and `blue_lab` of team Blue, one job with all that hangs on a job."""
    for name in ("admin", "Red Hat", "EPM", "Blue", "Red"):
        await hub.add("teams", name=name, country="FR", external=name == "Blue")
    for name, team in (("alice", "Blue"), ("root", "admin"), ("reader", "Red Hat")):
        await hub.add(
            "users",
            name=name,
            fullname=name.title(),
            email=f"{name}@example.org",
            password=PASSWORD_HASH,
            timezone="UTC",
        )
        await hub.link("users_teams", user_id=hub.ids[name], team_id=hub.ids[team])
    await hub.link("teams_components_access", team_id=hub.ids["Red"], access_team_id=hub.ids["Blue"])
    await hub.add("products", name="RHEL", label="RHEL", description="an operating system")
    await hub.link("products_teams", product_id=hub.ids["RHEL"], team_id=hub.ids["Blue"])
    await hub.add(
        "topics", name="RHEL-9.7", product_id=hub.ids["RHEL"], component_types=["compose"], export_control=True, data={}
    )
    await hub.add(
        "topics", name="RHEL-9.6", product_id=hub.ids["RHEL"], component_types=["compose", "harness"],
        component_types_optional=["harness"], export_control=True, data={"registry": {"login": "x"}},
        next_topic_id=hub.ids["RHEL-9.7"],
    )  # fmt: skip
    await hub.link("users_topics", user_id=hub.ids["alice"], topic_id=hub.ids["RHEL-9.6"])
    await hub.add(
        "remotecis", name="blue_lab", team_id=hub.ids["Blue"], api_secret=SECRET, data={"rack": 7}, public=True
    )
    await hub.add("remotecis", name="red_lab", team_id=hub.ids["Red"], api_secret=SECRET, data={})
    await hub.add("feeders", name="blue_feeder", team_id=hub.ids["Blue"], api_secret=SECRET[::-1], data={})
    await hub.link("user_remotecis", user_id=hub.ids["alice"], remoteci_id=hub.ids["blue_lab"])
    await hub.add(
        "components", "compose", name="RHEL-9.6.0-1", display_name="RHEL 9.6.0 1", version="9.6.0-1", type="compose",
        topic_id=hub.ids["RHEL-9.6"], released_at=datetime(2021, 1, 2), tags=["build:ga"], data={"url": "x"},
    )  # fmt: skip
    await hub.component_file(
        "image", b"i" * 70_000, mime="binary/octet-stream", etag='"5eb63bbbe01eeed093cb22bb8f5acdc3"'
    )
    await hub.add("pipelines", "pipeline", name="nightly", team_id=hub.ids["Blue"])
    await hub.job("first", name="first")
    await hub.job(
        "job", name="tabs\tbackslashes\\ and\nlines \u2615", comment="\\N", configuration="big", url="http://ci",
        pipeline_id=hub.ids["pipeline"], previous_job_id=hub.ids["first"], user_agent="dciclient", client_version="4.2",
        status="failure",
    )  # fmt: skip
    await hub.link("jobs_components", job_id=hub.ids["job"], component_id=hub.ids["compose"])
    await hub.link("jobs_keys_values", job_id=hub.ids["job"], key="boot_seconds", value=0.1 + 0.2)
    for status in ("new", "running", "failure"):
        await hub.add("jobstates", f"state {status}", status=status, comment=f"it is {status}", job_id=hub.ids["job"])
    await hub.file("small.log", b"one line\n" * 30, mime="text/plain")
    await hub.file("empty", b"")
    await hub.file("limit", bytes(65_536))
    await hub.file("big.bin", bytes(n * 7 % 251 for n in range(3_000_000)), mime="application/octet-stream")
    await hub.file("task", b"ok", jobstate_id=hub.ids["state running"])
    await hub.file(
        "junit", b"<testsuite><testcase name='a' classname='b' time='3'/></testsuite>", mime="application/junit"
    )
    await hub.file("gone", None, size=7)
    await hub.file("archived", b"kept until it is purged", state="archived")
    await hub.add(
        "tests_results", "results", name="junit", total=5, success=1, skips=1, failures=1, errors=2, regressions=1,
        successfixes=0, time=3, job_id=hub.ids["job"], file_id=hub.ids["junit"],
    )  # fmt: skip
    await hub.job("archived job", name="old", state="archived")
    await hub.add("logs", "log", user_id=hub.ids["root"], action="create_teams")
    await hub.link("jobs_events", created_at=_BEGINNING, job_id=hub.ids["job"], topic_id=hub.ids["RHEL-9.6"])


async def fill_oddly(hub: OldHub) -> None:
    """What the constraints of the old tables allow, and ours do not."""
    await hub.add("users", name="drifter", fullname="D", timezone="UTC", password=None)
    for _ in range(2):
        await hub.link("users_teams", user_id=hub.ids["drifter"], team_id=None)
    await hub.add("users", name="ancient", fullname="A", timezone="UTC", password="{SHA}x", state=None)
    await hub.add("teams", name="Nulls", external=None, state=None)
    await hub.add(
        "topics", name="no product", product_id=None, component_types=["a", 1, None, {}], data=None, state=None
    )
    await hub.add(
        "topics", name="no list", product_id=hub.ids["RHEL"], component_types={"a": 1}, component_types_optional=None
    )
    await hub.add("topics", name="circle 1", product_id=hub.ids["RHEL"])
    await hub.add("topics", name="circle 2", product_id=hub.ids["RHEL"], next_topic_id=hub.ids["circle 1"])
    await hub.add("topics", name="into the circle", product_id=hub.ids["RHEL"], next_topic_id=hub.ids["circle 2"])
    await hub.db.execute("update topics set next_topic_id = $1 where name = 'circle 1'", hub.ids["circle 2"])
    await hub.add("remotecis", "nameless", name=None, team_id=hub.ids["Blue"], api_secret=None, public=None, data=None)
    await hub.add("remotecis", "nameless 2", name=None, team_id=hub.ids["Blue"], api_secret="", state=None)
    await hub.add("feeders", "mute", name="mute", team_id=hub.ids["Red"], api_secret=None)
    released = {"type": "compose", "released_at": datetime(2022, 1, 1)}
    for called in ("lost", "lost twin"):
        await hub.add("components", called, name="lost", display_name="lost", topic_id=None, **released)
    await hub.add(
        "components", "stateless", name="RHEL-9.6.0-1", display_name="RHEL 9.6.0 1", version="9.6.0-1", state=None,
        topic_id=hub.ids["RHEL-9.6"], tags=None, data=None, **released,
    )  # fmt: skip
    await hub.component_file("homeless", None, component_id=None)
    await hub.component_file("sizeless", b"abc", size=None)
    await hub.job("topicless", topic_id=None, product_id=None)
    await hub.job("productless", product_id=None, status=None, state=None, duration=None, tags=None, data="null")
    await hub.job("odd tags", tags=[["a", "b"], ["c", "d"]], data=[1])
    await hub.job("null tag", tags=["a", None, "b"])
    await hub.job("ahead", name="ahead")
    await hub.job("behind", name="behind", previous_job_id=hub.ids["ahead"])
    await hub.db.execute(
        "update jobs set previous_job_id = $1, update_previous_job_id = $1 where name = 'ahead'", hub.ids["behind"]
    )
    for value in (3.0, 1.0, 2.0):
        await hub.link("jobs_keys_values", job_id=hub.ids["job"], key="twice", value=value)
    await hub.link("jobs_keys_values", job_id=hub.ids["first"], key="Größe\\n", value=-1e300)
    await hub.file("jobless", None, job_id=None)
    await hub.db.execute("update files set job_id = null where name = 'jobless'")
    await hub.file("of its state", b"by state", jobstate_id=hub.ids["state new"])
    await hub.db.execute("update files set job_id = null where name = 'of its state'")
    await hub.file("stranger", b"x", job_id=hub.ids["first"], jobstate_id=hub.ids["state new"])
    await hub.file("line\nbreak\x01", b"y", mime="text/plain\r\nX-Evil: 1", size=None)
    await hub.file("resized", b"12345", size=4)
    await hub.add("tests_results", "uncounted", name="j", job_id=hub.ids["job"], file_id=hub.ids["junit"], total=3)
