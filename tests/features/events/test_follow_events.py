# SPDX-License-Identifier: Apache-2.0
"""A stream tells what happens, as it happens, to those who may see it for as long as they may."""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from dci_server.features.events import queries
from dci_server.foundation.auth.authenticator import Authenticator
from dci_server.foundation.database.connection import Connection
from dci_server.foundation.events import feed
from dci_server.foundation.events.numbering import number_all
from dci_server.foundation.http import Application
from tests.conftest import EVERYBODY, ClientOf, World, credentials_of
from tests.features.events.conftest import Follow, Live
from tests.waiting import until_it_holds

JUNIT = b'<testsuite name="all"><testcase name="one" classname="a"/></testsuite>'
_RUN = [
    "job_created",
    "job_state_changed",
    "file_uploaded",
    "results_stored",
    "job_state_changed",
    "job_finished",
]  # fmt: skip


async def _post(client: httpx.AsyncClient, path: str, body: object) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code == 201, response.text
    return response.json()


async def _begin(client: httpx.AsyncClient, world: World) -> str:
    job = (await _post(client, "/jobs/schedule", {"topic_id": world.ids["RHEL-9.6"]}))["job"]
    await _state(client, job["id"], "running")
    return job["id"]


async def _state(client: httpx.AsyncClient, job_id: str, status: str) -> None:
    await _post(client, "/jobstates", {"job_id": job_id, "status": status})


async def _finish(client: httpx.AsyncClient, job_id: str) -> None:
    headers = {"DCI-JOB-ID": job_id, "DCI-NAME": "results.xml", "DCI-MIME": "application/junit"}
    assert (await client.post("/files", content=JUNIT, headers=headers)).status_code == 201
    await _state(client, job_id, "success")


async def _head(client: httpx.AsyncClient) -> int:
    return (await client.get("/events")).json()["_meta"]["last"]


def _told(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def _wait_for_followers(app: Application, number: int) -> None:
    """Until what is behind them has been told, and so many wait for what comes."""
    assert app.services is not None
    feed = app.services.feed
    await until_it_holds(lambda: feed.followers == number)


async def test_a_run_is_followed_event_by_event(client_of: ClientOf, world: World, follow: Follow) -> None:
    lab, red_lab = client_of("blue_lab"), client_of("red_lab")

    async with follow("alice") as stream:
        job_id = await _begin(lab, world)
        await world.job("red_lab")
        await _state(red_lab, await world.job("red_lab"), "running")
        await _finish(lab, job_id)
        events = await stream.events(len(_RUN))

    assert _told(events) == _RUN
    assert {event["job_id"] for event in events} == {job_id}
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids))
    page = (await client_of("alice").get(f"/events?job_id={job_id}")).json()["events"]
    assert events == page


async def test_who_has_seen_the_beginning_hears_of_what_happens_next(
    world: World, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_last = queries.find_last

    async def find_slowly(db: Connection) -> int:
        await asyncio.sleep(0.2)
        return await find_last(db)

    monkeypatch.setattr(queries, "find_last", find_slowly)

    async with follow("alice") as stream:
        job_id = await world.job()
        await number_all(world.db)
        event = await stream.event()

    assert event["job_id"] == job_id


async def test_a_filter_narrows_a_stream(client_of: ClientOf, world: World, follow: Follow) -> None:
    async with follow("admin", f"/events?type=job_created,job_finished&team_id={world.ids['Blue']}") as stream:
        await world.job("red_lab")
        await _finish(client_of("blue_lab"), await world.job())
        events = await stream.events(2)

    assert _told(events) == ["job_created", "job_finished"]
    assert {event["team_id"] for event in events} == {world.ids["Blue"]}


async def test_who_comes_back_hears_what_it_missed_and_nothing_twice(
    client_of: ClientOf, world: World, follow: Follow
) -> None:
    lab = client_of("blue_lab")
    async with follow("alice") as stream:
        job_id = await _begin(lab, world)
        seen = await stream.events(2)
    await _state(lab, job_id, "post-run")

    async with follow("alice", **{"Last-Event-ID": str(seen[0]["id"])}) as stream:
        missed = await stream.events(2)
        await _state(lab, job_id, "success")
        news = await stream.events(2)

    assert missed[0] == seen[1]
    assert [event["data"]["status"] for event in [*missed, *news]] == ["running", "post-run", "success", "success"]


async def test_what_happens_while_the_past_is_told_is_told_once(
    client_of: ClientOf, world: World, follow: Follow
) -> None:
    before = await _head(client_of("admin"))
    job_id = await world.job()

    async def write() -> None:
        for _ in range(60):
            await _state(client_of("blue_lab"), job_id, "running")

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    async with follow("alice", f"/events?after={before}") as stream:
        events = await stream.events(61)
    await writing

    page = (await client_of("alice").get(f"/events?after={before}")).json()["events"]
    assert events == page


async def test_who_missed_what_is_not_kept_any_more_is_told_so(
    client_of: ClientOf, world: World, follow: Follow
) -> None:
    for _ in range(5):
        await world.job()
    last = await _head(client_of("admin"))
    await world.db.execute("delete from events where id < $1", last - 1)

    async with follow("alice", **{"Last-Event-ID": str(last - 3)}) as stream:
        message = await stream.message()
        events = await stream.events(2)

    assert message == {"event": "events_missing", "data": f'{{"after":{last - 3},"first":{last - 1}}}'}
    assert [event["id"] for event in events] == [last - 1, last]


async def test_a_job_is_watched_from_its_beginning_to_its_end(
    client_of: ClientOf, world: World, follow: Follow
) -> None:
    lab = client_of("blue_lab")
    job_id = await _begin(lab, world)

    async with follow("alice", f"/jobs/{job_id}/events") as stream:
        events = await stream.events(2)
        await world.job()
        await _finish(lab, job_id)
        events += await stream.rest()

    assert _told(events) == _RUN
    assert stream.end == "the job is over"


@pytest.mark.parametrize("status", ["success", "killed"])
async def test_the_stream_of_a_job_that_is_over_ends(
    client_of: ClientOf, world: World, follow: Follow, status: str
) -> None:
    job_id = await _begin(client_of("blue_lab"), world)
    for each in ("success", "running", status):
        await _state(client_of("blue_lab"), job_id, each)

    async with follow("reader", f"/jobs/{job_id}/events") as stream:
        events = await stream.rest()

    assert [event["data"]["status"] for event in events if event["type"] == "job_state_changed"] == [
        "running", "success", "running", status,
    ]  # fmt: skip
    assert stream.end == "the job is over"


async def test_a_job_that_is_archived_while_it_is_watched_is_over(
    client_of: ClientOf, world: World, follow: Follow, app: Application
) -> None:
    alice, job_id = client_of("alice"), await world.job()
    etag = (await alice.get(f"/jobs/{job_id}")).headers["etag"]

    async with follow("alice", f"/jobs/{job_id}/events") as stream:
        await _wait_for_followers(app, 1)
        assert (await alice.delete(f"/jobs/{job_id}", headers={"If-match": etag})).status_code == 204
        events = await stream.rest()

    assert _told(events) == ["job_created", "job_archived"]


async def test_everybody_hears_live_what_they_can_read(client_of: ClientOf, world: World, follow: Follow) -> None:
    """One of each kind of event; each caller's stream is each caller's page."""
    hidden = await world.add("topics", name="hidden", product_id=world.ids["RHEL"], export_control=False)
    before = await _head(client_of("admin"))

    async def listen(who: str) -> list[dict[str, Any]]:
        async with follow(who, f"/events?after={before}") as stream:
            opened.release()
            await done.wait()
            page = (await client_of(who).get(f"/events?after={before}")).json()["events"]
            assert await stream.events(len(page)) == page
            return page

    opened, done = asyncio.Semaphore(0), asyncio.Event()
    listening = {who: asyncio.create_task(listen(who)) for who in EVERYBODY}
    for _ in EVERYBODY:
        await opened.acquire()
    component = {"name": "c", "type": "c", "topic_id": world.ids["RHEL-9.6"]}
    await world.job("blue_lab")
    await world.job("red_lab")
    await world.add("components", **component)
    await world.add("components", **component, team_id=world.ids["Red"])
    await world.add("components", **{**component, "topic_id": hidden})
    await world.db.execute("update teams set country = 'FR', etag = new_etag() where name = 'Blue'")
    done.set()

    heard = {who: len(await each) for who, each in listening.items()}
    assert heard == {
        "admin": 6, "epm": 6, "reader": 6, "alice": 3, "bob": 3, "nobody": 0, "blue_lab": 3, "red_lab": 3,
        "blue_feeder": 4,
    }  # fmt: skip


async def test_who_leaves_a_team_hears_no_more_of_it(
    client_of: ClientOf, world: World, follow: Follow, app: Application
) -> None:
    admin, alice = client_of("admin"), world.ids["user alice"]
    await world.add("users_teams", user_id=alice, team_id=world.ids["Red"])
    red_job = await world.job("red_lab")

    async with follow("alice") as stream:
        await _wait_for_followers(app, 1)
        left = await admin.delete(f"/teams/{world.ids['Blue']}/users/{alice}")
        assert left.status_code == 204
        await world.job("blue_lab")
        await _state(client_of("red_lab"), red_job, "running")
        events = await stream.events(1)

    assert [event["job_id"] for event in events] == [red_job]


async def test_who_leaves_a_team_while_the_past_is_told_hears_no_more_of_it(
    client_of: ClientOf, world: World, follow: Follow, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, alice = client_of("admin"), world.ids["user alice"]
    await world.add("users_teams", user_id=alice, team_id=world.ids["Red"])
    past = [await world.job("blue_lab") for _ in range(2)]
    read_missed = queries.read_missed

    async with follow("reader") as other:
        await _wait_for_followers(app, 1)
        before = await _head(admin) - len(past)

        async def read_slowly(*args: Any) -> queries.Missed:
            monkeypatch.setattr(queries, "read_missed", read_missed)
            missed = await read_missed(*args)
            assert (await admin.delete(f"/teams/{world.ids['Blue']}/users/{alice}")).status_code == 204
            # Whoever follows by now has been looked up again.
            await world.job("blue_lab")
            await other.event()
            return missed

        monkeypatch.setattr(queries, "read_missed", read_slowly)
        async with follow("alice", f"/events?after={before}") as stream:
            told = [await stream.event() for _ in past]
            await _wait_for_followers(app, 2)
            await world.job("blue_lab")
            red_job = await world.job("red_lab")
            told.append(await stream.event())

    assert [event["job_id"] for event in told] == [*past, red_job]


async def test_who_leaves_the_team_of_a_job_watches_it_no_more(
    client_of: ClientOf, world: World, follow: Follow, app: Application
) -> None:
    admin, alice, job_id = client_of("admin"), world.ids["user alice"], await world.job("blue_lab")
    await world.add("users_teams", user_id=alice, team_id=world.ids["Red"])

    async with follow("alice", f"/jobs/{job_id}/events") as stream, follow("admin", f"/jobs/{job_id}/events") as other:
        await _wait_for_followers(app, 2)
        assert (await admin.delete(f"/teams/{world.ids['Blue']}/users/{alice}")).status_code == 204
        events = await stream.rest()
        await _finish(client_of("blue_lab"), job_id)
        to_others = await other.rest()

    assert (_told(events), stream.end) == (["job_created"], "not authorized any more")
    assert (_told(to_others)[-1], other.end) == ("job_finished", "the job is over")


async def test_who_joins_a_team_hears_of_it_from_then_on(
    client_of: ClientOf, world: World, follow: Follow, app: Application
) -> None:
    async with follow("nobody") as stream:
        await _wait_for_followers(app, 1)
        path = f"/teams/{world.ids['Blue']}/users/{world.ids['user nobody']}"
        assert (await client_of("admin").post(path)).status_code == 201
        job_id = await world.job("blue_lab")
        events = await stream.events(1)

    assert [event["job_id"] for event in events] == [job_id]


@pytest.mark.parametrize("who", ["alice", "blue_lab", "scoped"])
async def test_who_is_nobody_any_more_is_cut_off(
    client_of: ClientOf, world: World, follow: Follow, app: Application, who: str
) -> None:
    admin = client_of("admin")
    headers = {"X-Dci-Team-Id": world.ids["Blue"]} if who == "scoped" else {}

    async with follow("alice" if who == "scoped" else who, **headers) as stream:
        await _wait_for_followers(app, 1)
        match who:
            case "alice":
                path = f"/users/{world.ids['user alice']}"
                etag = (await admin.get(path)).headers["etag"]
                done = await admin.put(path, json={"password": "another one"}, headers={"If-match": etag})
            case "blue_lab":
                path = f"/remotecis/{world.ids['blue_lab']}"
                etag = (await admin.get(path)).headers["etag"]
                done = await admin.put(f"{path}/api_secret", headers={"If-match": etag})
            case _:
                done = await admin.delete(f"/teams/{world.ids['Blue']}/users/{world.ids['user alice']}")
        assert done.status_code in (200, 204), done.text
        await world.job("blue_lab")
        events = await stream.rest()

    assert events == []
    assert stream.end == "not authorized any more"


async def test_a_change_by_anybody_else_disturbs_no_stream(
    client_of: ClientOf, world: World, follow: Follow, app: Application
) -> None:
    async with follow("alice") as alice, follow("blue_lab") as lab:
        await _wait_for_followers(app, 2)
        await client_of("admin").delete(f"/teams/{world.ids['Red']}/users/{world.ids['user bob']}")
        job_id = await world.job("blue_lab")
        told = [await each.event() for each in (alice, lab)]

    assert [event["job_id"] for event in told] == [job_id, job_id]


async def test_nothing_is_told_while_nobody_knows_who_may_hear_it(
    world: World, follow: Follow, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database can't say who is who for a moment: the stream waits, and goes on."""
    renew, failures = Authenticator.renew, [OSError()]

    async def fail_once(self: Authenticator, authentication: Any) -> Any:
        if failures:
            raise failures.pop()
        return await renew(self, authentication)

    async with follow("alice") as stream:
        await _wait_for_followers(app, 1)
        assert app.services is not None
        monkeypatch.setattr(Authenticator, "renew", fail_once)
        app.services.authenticator.forget()
        job_id = await world.job("blue_lab")
        event = await stream.event()

    assert failures == []
    assert event["job_id"] == job_id


async def test_an_idle_stream_shows_that_it_lives(
    world: World, app: Application, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_SECONDS_BETWEEN_HEARTBEATS", 0.01)
    assert app.services is not None
    await app.services.feed.stop()
    await app.services.feed.start()

    async with follow("alice") as stream:
        lines = [await stream.line() for _ in range(5)]

    assert lines == [": following", "", ": still here", "", ": still here"]


async def test_who_does_not_read_is_cut_off_and_others_hear_on(
    world: World, live: Live, follow: Follow, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 50)
    monkeypatch.setattr(feed, "_AT_ONCE", 20)
    request = httpx.Request("GET", f"{live.url}/events", headers={"Accept": "text/event-stream"})
    auth = credentials_of(world, "alice")
    assert auth is not None
    signed = next(auth.sync_auth_flow(request))
    head = "\r\n".join(["GET /api/v1/events HTTP/1.1", *(f"{k}: {v}" for k, v in signed.headers.items()), "", ""])
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", live.port))
        await loop.sock_sendall(deaf, head.encode())
        async with follow("reader") as stream:
            await _wait_for_followers(app, 2)
            assert app.services is not None
            sent = 0
            while app.services.feed.followers == 2:
                await world.db.execute(
                    """insert into events_outbox (type, subject_kind, subject_id, team_id, data)
                       select 'team_changed', 'team', $1, $1, jsonb_build_object('n', $2::int, 'x', repeat('x', 20000))
                       from generate_series(1, 20)""",
                    world.ids["Blue"],
                    sent,
                )
                app.services.events.wake()
                assert {event["data"]["n"] for event in await stream.events(20)} == {sent}
                sent += 1
            await _wait_for_followers(app, 1)


async def test_who_goes_is_forgotten(follow: Follow, app: Application) -> None:
    async with follow("alice"):
        await _wait_for_followers(app, 1)

    await _wait_for_followers(app, 0)


async def test_a_server_that_stops_says_so_and_does_not_wait(live: Live, follow: Follow, app: Application) -> None:
    async with follow("alice") as stream:
        await _wait_for_followers(app, 1)
        live.server.should_exit = True
        events = await stream.rest()

    assert events == []
    assert stream.end == "the server stops"


@pytest.mark.parametrize("path", ["/events", "/jobs/01a21c43-b8e3-773d-909f-408ed69f8f3e/events"])
async def test_a_page_of_another_origin_may_say_where_it_goes_on(client_of: ClientOf, path: str) -> None:
    allowed = (await client_of("stranger").options(path)).headers["access-control-allow-headers"].split(", ")

    assert {"Authorization", "Last-Event-ID"} <= set(allowed)


@pytest.mark.parametrize("last", ["x", "-1", "9" * 19])
async def test_a_last_event_id_that_is_none_is_refused(client_of: ClientOf, last: str) -> None:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
    response = await client_of("alice").get("/events", headers=headers)

    assert response.status_code == 400


async def test_a_server_has_room_for_so_many(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_FOLLOWERS", 0)

    response = await client_of("alice").get("/events", headers={"Accept": "text/event-stream"})

    assert response.status_code == 503
