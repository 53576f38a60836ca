# SPDX-License-Identifier: Apache-2.0
"""What the old tables allow and ours do not: changed or left out, and told."""

from typing import Any

import pytest

from tests.importing.conftest import LogIn, NewHub, Report
from tests.importing.old_hub import KEYED_BY_JOB_AND_KEY, OldHub


@pytest.fixture
async def told(odd_hub: OldHub, new_hub: NewHub) -> Report:
    return await new_hub.report(odd_hub)


async def test_every_oddity_is_told(told: Report, odd_hub: OldHub) -> None:
    ids = {name: str(identifier) for name, identifier in odd_hub.ids.items()}
    for step, reason, rows, examples in (
        ("users_teams", "membership without a team", 2, ["drifter"]),
        ("users", "no password", 1, ["drifter"]),
        ("users", "not known here", 1, ["ancient"]),
        ("users", "state was empty", 1, [ids["ancient"]]),
        ("teams", "state was empty", 1, [ids["Nulls"]]),
        ("topics", "no product", 1, ["no product"]),
        ("topics", "no list", 1, ["no list"]),
        ("topics", "something else than strings", 1, ["no product"]),
        ("topics.next_topic_id", "circle", 1, ["circle 2"]),
        ("remotecis", "no name", 2, [ids["nameless"], ids["nameless 2"]]),
        ("remotecis.api_secret", "no secret", 2, [ids["nameless"], ids["nameless 2"]]),
        ("feeders.api_secret", "no secret", 1, [ids["mute"]]),
        ("components", "no topic", 2, [ids["lost"], ids["lost twin"]]),
        ("components", "same display name", 1, [ids["lost twin"]]),
        ("components", "state was empty", 1, [ids["stateless"]]),
        ("component_files", "no component", 1, [ids["homeless"]]),
        ("component_files", "size was empty", 1, [ids["sizeless"]]),
        ("jobs", "no topic", 1, [ids["topicless"]]),
        ("jobs", "no product", 1, [ids["productless"]]),
        ("jobs", "status was empty", 1, [ids["productless"]]),
        ("jobs_keys_values", "several values", 2, [f"{ids['job']} twice"]),
        ("files", "no job and to no jobstate", 1, [ids["jobless"]]),
        ("files", "it named no job", 1, [ids["of its state"]]),
        ("files", "jobstate is of another job", 1, [ids["stranger"]]),
        ("files", "control characters", 1, [ids["line\nbreak\x01"]]),
        ("files", "another size", 1, [ids["resized"]]),
        ("tests_results", "counter was empty", 1, [ids["uncounted"]]),
    ):
        assert told.change(step, reason) == (rows, examples), (step, reason)
    left = {found["what"]: found["rows"] for found in told.document["left_behind"]}
    assert left == {}
    assert told.files("files")["examples"] == [ids["gone"]]
    assert (told.files("files")["missing"], told.files("component_files")["missing"]) == (1, 0)
    assert not [change for change in told.document["changes"] if "already" in change["reason"]]


async def test_what_is_read_and_written_adds_up(told: Report) -> None:
    steps = {step["step"]: (step["read"], step["written"]) for step in told.document["steps"]}

    assert {name: found for name, found in steps.items() if found[0] != found[1]} == {
        "users_teams": (4, 3), "remotecis.api_secret": (4, 2), "feeders.api_secret": (2, 1), "component_files": (3, 2),
        "files": (13, 12),
    }  # fmt: skip


_SANE: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("select timezone, state, password_hash from users where name = 'ancient'", [("UTC", "active", "{SHA}x")]),
    ("select external, state from teams where name = 'Nulls'", [(True, "active")]),
    (
        """select component_types, component_types_optional::text, topics.data::text, label, topics.state
           from topics join products on products.id = product_id where topics.name = 'no product'""",
        [(["a", "1"], "[]", "{}", "IMPORTED-WITHOUT-PRODUCT", "active")],
    ),
    ("select component_types, component_types_optional::text from topics where name = 'no list'", [([], "[]")]),
    (
        """select t.name, n.name from topics as t left join topics as n on n.id = t.next_topic_id
           where t.name like '%circle%' order by t.name""",
        [("circle 1", "circle 2"), ("circle 2", None), ("into the circle", "circle 2")],
    ),
    (
        """select remotecis.name = 'remoteci ' || remotecis.id, public, data::text, state from remotecis
           where name like 'remoteci %' order by created_at""",
        [(True, False, "{}", "active"), (True, False, "{}", "active")],
    ),
    (
        """select topics.name, components.state, components.tags from components join topics on topics.id = topic_id
           where components.name = 'lost' order by components.created_at""",
        [("Imported without a topic", "active", []), ("Imported without a topic", "inactive", [])],
    ),
    (
        "select state, tags, data::text from components where version = '9.6.0-1' order by created_at",
        [("active", ["build:ga"], '{"url": "x"}'), ("inactive", [], "{}")],
    ),
    (
        """select status, jobs.state, duration, tags, jobs.data::text, label
           from jobs join products on products.id = product_id join topics on topics.id = topic_id
           where topics.name = 'RHEL-9.6' and jobs.status = 'new'""",
        [("new", "active", 0, [], "{}", "RHEL")],
    ),
    (
        """select label from jobs join products on products.id = product_id join topics on topics.id = topic_id
           where topics.name = 'Imported without a topic'""",
        [("IMPORTED-WITHOUT-PRODUCT",)],
    ),
    ("select tags from jobs where 'b' = any(tags) order by created_at", [(["a", "b", "c", "d"],), (["a", "b"],)]),
    (
        """select j.name, p.name, u.name from jobs as j left join jobs as p on p.id = j.previous_job_id
           left join jobs as u on u.id = j.update_previous_job_id where j.name in ('ahead', 'behind') order by 1""",
        [("ahead", "behind", "behind"), ("behind", "ahead", None)],
    ),
    (
        "select key, value from jobs_keys_values order by value",
        [("Größe\\n", -1e300), ("boot_seconds", 0.1 + 0.2), ("twice", 2.0)],
    ),
    (
        """select files.name, files.mime, files.size, jobstates.status from files
           left join jobstates on jobstates.id = jobstate_id
           where files.name in ('of its state', 'stranger', 'line_break_', 'resized') order by 1""",
        [
            ("line_break_", "text/plain__X-Evil: 1", 1, None),
            ("of its state", None, 8, "new"),
            ("resized", None, 5, None),
            ("stranger", None, 1, None),
        ],
    ),
    ("select size from component_files where name = 'sizeless'", [(3,)]),
    ("select total, success, skips, regressions, time from tests_results where total = 3", [(3, 0, 0, 0, 0)]),
]


async def test_each_oddity_has_become_something_sane(told: Report, new_hub: NewHub) -> None:
    for sql, rows in _SANE:
        assert await new_hub.rows(sql) == rows, sql


async def test_odd_rows_can_be_read_by_clients(told: Report, odd_hub: OldHub, log_in: LogIn) -> None:
    lab = await log_in("blue_lab")

    for name in ("topicless", "productless", "odd tags", "null tag", "ahead", "job"):
        answer = await lab.get(f"/jobs/{odd_hub.ids[name]}")
        assert answer.status_code == 200, name
    content = await lab.get(f"/files/{odd_hub.ids[chr(10).join(('line', 'break')) + chr(1)]}/content")
    assert content.content == b"y"
    assert content.headers["content-type"].startswith("text/plain__X-Evil: 1")
    assert (await lab.get("/jobs", params={"limit": 100, "offset": 0})).json()["_meta"]["count"] == 8


async def test_a_hub_that_allows_one_value_of_a_key_has_nothing_to_collapse(old_hub: OldHub, new_hub: NewHub) -> None:
    await old_hub.db.execute(KEYED_BY_JOB_AND_KEY)
    for number, value in enumerate((3.0, 1.0, 2.0)):
        await old_hub.link("jobs_keys_values", job_id=old_hub.ids["job"], key=f"key {number}", value=value)

    told = await new_hub.report(old_hub, files=False)

    assert told.change("jobs_keys_values", "") == (0, [])
    assert await new_hub.rows("select count(*) from jobs_keys_values") == [(4,)]


async def test_an_older_hub_may_lack_tables_and_columns(old_hub: OldHub, new_hub: NewHub) -> None:
    await old_hub.db.execute(
        """drop table component_files, tests_results, jobs_keys_values, users_topics, feeders, jobs_events, counter, logs,
               teams_components_access;
           alter table jobs drop pipeline_id, drop previous_job_id, drop update_previous_job_id, drop url, drop name,
               drop product_id, drop user_agent, drop client_version;
           drop table pipelines;
           alter table components drop display_name cascade, drop version, drop uid, drop released_at;
           alter table topics drop next_topic_id, drop export_control, drop component_types_optional;
           alter table teams drop has_pre_release_access"""
    )

    told = await new_hub.report(old_hub)

    assert told.document["left_behind"] == []
    assert await new_hub.rows("select count(*) from jobs") == [(3,)]
    assert await new_hub.rows("select display_name, version, uid, released_at = created_at from components") == [
        ("RHEL-9.6.0-1", "", "", True)
    ]
    assert told.change("jobs", "no product") == (
        3,
        [str(old_hub.ids[name]) for name in ("first", "job", "archived job")],
    )


async def test_of_a_newer_hub_what_is_known_is_taken_and_the_rest_is_told(old_hub: OldHub, new_hub: NewHub) -> None:
    await old_hub.db.execute(
        """alter table users add last_auth_at timestamp; alter table remotecis add last_auth_at timestamptz;
           update users set last_auth_at = '2026-01-02 03:04:05'; update remotecis set last_auth_at = '2026-01-02 03:04:05+02';
           alter table jobs add colour text; update jobs set colour = 'red' where name = 'first';
           alter table jobs add shape text; alter table topics alter data type jsonb using data::jsonb;
           create table tasks (id integer); insert into tasks values (1), (2); grant select on tasks to public;
           alter type statuses add value 'paused'"""
    )
    await old_hub.db.execute("update jobs set status = 'paused' where name = 'first'")

    told = await new_hub.report(old_hub, files=False)

    left = {found["what"]: found["rows"] for found in told.document["left_behind"]}
    assert left == {"column jobs.colour": 1, "table tasks": 2}
    assert await new_hub.rows("select distinct last_auth_at::text from users") == [("2026-01-02 03:04:05",)]
    assert await new_hub.rows("select distinct last_auth_at::text from remotecis") == [("2026-01-02 01:04:05",)]
    assert told.change("jobs", "status is not known here") == (1, [str(old_hub.ids["first"])])
