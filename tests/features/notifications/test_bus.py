# SPDX-License-Identifier: Apache-2.0
"""What a message bus hears: that a job started, that it finished; in order per job, at least once, and nobody waits for it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from aiormq.abc import DeliveredMessage
from structlog.testing import LogCapture

from dci_server.examination import examine
from dci_server.features.notifications import outbox
from dci_server.foundation.http import Application
from dci_server.foundation.outgoing import amqp
from dci_server.settings import Settings, SettingsError
from tests.broker import GIVEN_URL, Broker, broker, needs_broker
from tests.certificates import make_certificate
from tests.conftest import ClientOf, World, started
from tests.features.notifications.conftest import run
from tests.features.webhooks.conftest import made
from tests.mailbox import mailbox
from tests.receiver import receiving
from tests.server_process import closed_port
from tests.waiting import until

Sending = Callable[..., AbstractAsyncContextManager[Application]]


@pytest.fixture(scope="session")
async def running_broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    async with broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
async def bus(running_broker: Broker) -> Broker:
    """With an exchange and a queue of the test."""
    return replace(running_broker, name=f"dci-test-{uuid4()}")


@pytest.fixture
async def app(world: World, database_url: str, key: str, tmp_path: Path) -> AsyncIterator[Application]:
    """A server that takes requests and sends nothing. What is there before the test begins is no news."""
    await world.db.execute("delete from events_outbox")
    async with started(database_url, key, tmp_path, DCI_WEBHOOK_ALLOWED_TARGETS="127.0.0.0/8") as application:
        yield application


@pytest.fixture
def sending(database_url: str, key: str, tmp_path: Path) -> Sending:
    """Another server on the same database, which sends."""

    def start(**settings: str) -> AbstractAsyncContextManager[Application]:
        return started(database_url, key, tmp_path, DCI_DELIVERIES="on", **settings)

    return start


def _told(messages: list[DeliveredMessage]) -> list[tuple[str, str]]:
    bodies = [json.loads(message.body) for message in messages]
    return [(body["event"], body["job"]["id"]) for body in bodies]


async def _until(world: World, sql: str) -> None:
    await until(lambda: world.db.fetchval(sql))


_NONE_WAITS = "select count(*) = {} and bool_and(state = 'sent') from bus_messages"
_MAKE_DUE = "update bus_messages set next_attempt_at = utc_now()"


@needs_broker
async def test_a_run_is_told_with_what_is_known_of_it(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    lab = client_of("blue_lab")
    async with sending(**bus.settings):
        job_id = await run(lab, world, "running")
        (begun,) = await bus.take(1)
        for headers in ({"DCI-NAME": "of the job"}, {"DCI-NAME": "gone"}):
            sent = await lab.post("/files", content=b"x", headers={"DCI-JOB-ID": job_id, **headers})
            assert sent.status_code == 201
        gone = sent.json()["file"]["id"]
        assert (await lab.delete(f"/files/{gone}")).status_code == 204
        await lab.post(f"/jobs/{job_id}/kv", json={"key": "k", "value": 1.5})
        await lab.post("/jobstates", json={"job_id": job_id, "status": "failure"})
        (ended,) = await bus.take(1)

    job: dict[str, Any] = json.loads(ended.body)["job"]
    assert _told([begun, ended]) == [("job_started", job_id), ("job_finished", job_id)]
    assert job["status"] == "failure"
    assert [state["status"] for state in job["jobstates"]] == ["running", "failure"]
    assert [state["files"] for state in job["jobstates"]] == [[], []]
    assert [file["name"] for file in job["files"]] == ["of the job"]
    assert [component["id"] for component in job["components"]] == [world.ids["compose"]]
    assert job["keys_values"] == [{"job_id": job_id, "key": "k", "value": 1.5}]
    names = {part: job[part]["name"] for part in ("remoteci", "topic", "team", "product")}
    assert names == {"remoteci": "blue_lab", "topic": "RHEL-9.6", "team": "Blue", "product": "RHEL"}
    assert {"pipeline", "results"} <= job.keys()
    assert "data" not in job
    assert "secret" not in str(job)
    events = await world.db.fetch(
        "select id, created_at from events where type in ('job_created', 'job_finished') order by id"
    )
    for message, event in zip((begun, ended), events, strict=True):
        about = message.header.properties
        assert (about.delivery_mode, about.content_type, about.app_id) == (2, "application/json", "dci-server")
        assert about.message_id == str(event["id"])
        assert about.message_type == json.loads(message.body)["event"]
        assert about.timestamp == event["created_at"].replace(microsecond=0, tzinfo=UTC)


@needs_broker
async def test_a_job_that_follows_another_is_told_and_a_correction_by_hand_is_not(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    lab, alice = client_of("blue_lab"), client_of("alice")
    async with sending(**bus.settings):
        first = await run(lab, world, "running", "success")
        etag = (await alice.get(f"/jobs/{first}")).headers["etag"]
        changed = await alice.put(f"/jobs/{first}", json={"status": "failure"}, headers={"If-match": etag})
        updated = await lab.post(f"/jobs/{first}/update")
        told = _told(await bus.take(3))
        await _until(world, _NONE_WAITS.format(3))

    assert (changed.status_code, updated.status_code) == (200, 201)
    second = updated.json()["job"]["id"]
    assert [event for event, job_id in told if job_id == first] == ["job_started", "job_finished"]
    assert [event for event, job_id in told if job_id != first] == ["job_started"]
    assert told.count(("job_started", second)) == 1


@needs_broker
async def test_several_servers_tell_everything_and_each_job_in_its_order(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    lab = client_of("blue_lab")
    async with sending(**bus.settings), sending(**bus.settings), sending(**bus.settings):
        jobs = [await run(lab, world, "running", "success", "running", "failure") for _ in range(25)]
        told = _told(await bus.take(75))
        await _until(world, _NONE_WAITS.format(75))

    for job_id in jobs:
        assert [what for what, job in told if job == job_id] == ["job_started", "job_finished", "job_finished"]
    assert await bus.count() == 0


@needs_broker
async def test_what_a_killed_server_had_in_hands_is_told_by_another(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    """Taken, and perhaps published, and not noted: it comes again, under the same id."""
    lab = client_of("blue_lab")
    async with sending(**bus.settings):
        job_id = await run(lab, world)
        (first,) = await bus.take(1)
        await _until(world, _NONE_WAITS.format(1))
    await world.db.execute("update bus_messages set state = 'waiting', next_attempt_at = utc_now()")

    async with sending(**bus.settings):
        await lab.post("/jobstates", json={"job_id": job_id, "status": "failure"})
        again, last = await bus.take(2)

    ids = [message.header.properties.message_id for message in (first, again, last)]
    assert ids[0] == ids[1] != ids[2]
    assert _told([again, last]) == [("job_started", job_id), ("job_finished", job_id)]


@needs_broker
@pytest.mark.skipif(GIVEN_URL is not None, reason="a broker that is given is not ours to kill")
async def test_a_broker_that_dies_hears_everything_when_it_is_back(
    client_of: ClientOf, world: World, tmp_path: Path, sending: Sending
) -> None:
    lab = client_of("blue_lab")
    async with broker(tmp_path) as dying:
        async with sending(**dying.settings):
            before = await run(lab, world)
            await _until(world, _NONE_WAITS.format(1))
        await dying.stop(signal.SIGKILL)
        async with sending(**dying.settings):
            jobs = [await run(lab, world, "running", "success") for _ in range(3)]
            await _until(world, "select count(*) = 7 and bool_or(error is not null) from bus_messages")
        await dying.start()
        await world.db.execute(_MAKE_DUE)
        async with sending(**dying.settings):
            told = _told(await dying.take(7))

    assert told[0] == ("job_started", before)
    for job_id in jobs:
        assert [what for what, job in told if job == job_id] == ["job_started", "job_finished"]


@needs_broker
async def test_what_no_queue_takes_waits_until_one_does(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    await bus.make_exchange()
    settings = {**bus.settings, "AMQP_DECLARE": "off"}
    async with sending(**settings):
        job_id = await run(client_of("blue_lab"), world)
        await _until(world, "select error is not null from bus_messages")
    refused = await world.db.fetchrow("select state, error from bus_messages")
    await world.db.execute(_MAKE_DUE)

    async with sending(**bus.settings):
        told = _told(await bus.take(1))

    assert refused is not None
    assert tuple(refused) == ("waiting", "no queue takes it: bind one to the exchange with the routing key")
    assert told == [("job_started", job_id)]


@needs_broker
async def test_the_doctor_says_what_a_bus_refuses(bus: Broker, tmp_path: Path) -> None:
    async def told(**settings: str) -> str:
        return await _examined(tmp_path, **{**bus.settings, **settings})

    well = await told()
    not_there = await told(AMQP_DECLARE="off", AMQP_EXCHANGE="nowhere")
    other_kind = await told(AMQP_EXCHANGE="amq.topic")
    wrong_word = await told(AMQP_BROKER_URL=bus.url.replace(":guest@", ":s3cret@"))

    assert well.startswith(f"ok job_started and job_finished to {bus.name} at amqp://127.0.0.1:")
    assert "there is no such exchange" in not_there
    assert "of another kind" in other_kind
    assert "it refuses the login" in wrong_word
    assert "s3cret" not in wrong_word
    assert "guest" not in "".join((well, not_there, other_kind, wrong_word))


@needs_broker
@pytest.mark.skipif(GIVEN_URL is not None, reason="the certificate of a broker that is given is not ours")
async def test_a_bus_is_spoken_to_over_tls_when_its_certificate_is_the_one(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending, tmp_path: Path
) -> None:
    """Neither a certificate of another authority nor one for another name."""
    place = f"guest:guest@127.0.0.1:{bus.tls_port}/"
    right = {**bus.settings, "AMQP_BROKER_URL": f"amqps://{place}", "AMQP_CA_FILE": str(bus.certificate)}
    refused = (
        {"AMQP_CA_FILE": str(make_certificate(tmp_path))},
        {"AMQP_CA_FILE": ""},
        {"AMQP_BROKER_URL": f"amqps://{place}".replace("127.0.0.1", "localhost")},
    )
    reason = "the TLS connection fails: is the certificate valid, and for this name?"
    jobs: list[str] = []
    for settings in refused:
        async with sending(**{**right, **settings}):
            jobs.append(await run(client_of("blue_lab"), world))
            await _until(world, f"select count(*) = {len(jobs)} from bus_messages where error = 'the bus: {reason}'")
        assert await bus.count() == 0
        assert reason in await _examined(tmp_path, **{**right, **settings})
    await world.db.execute(_MAKE_DUE)

    async with sending(**right):
        told = _told(await bus.take(3))

    assert sorted(told) == sorted(("job_started", job_id) for job_id in jobs)
    assert (await _examined(tmp_path, **right)).startswith(f"ok job_started and job_finished to {bus.name} at amqps://")


async def _examined(directory: Path, **settings: str) -> str:
    given = Settings.from_environment({"DCI_DATA_DIR": str(directory), **settings})
    (finding,) = [each async for each in examine(given) if each.part == "message bus"]
    return f"{finding.verdict} {finding.detail}"


async def test_a_dead_bus_delays_nobody_and_is_tried_again(
    client_of: ClientOf, world: World, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = LogCapture()
    monkeypatch.setattr(outbox, "log", structlog.wrap_logger(None, processors=[logged]))
    lab = client_of("blue_lab")
    await client_of("alice").post(f"/remotecis/{world.ids['blue_lab']}/users")
    dead = f"amqp://somebody:s3cret@127.0.0.1:{closed_port()}/"
    async with receiving() as receiver, mailbox() as box:
        mail = {"DCI_EMAIL_SERVER": "127.0.0.1", "DCI_EMAIL_SERVER_PORT": str(box.port), "DCI_EMAIL_TLS": "none"}
        async with sending(AMQP_BROKER_URL=dead, DCI_WEBHOOK_ALLOWED_TARGETS="127.0.0.0/8", **mail):
            await made(client_of("admin"), receiver.url)
            job_id = await run(lab, world, "failure")
            await receiver.wait_for(3)
            await box.wait_for(1)
            await _until(world, "select count(*) = 2 and bool_or(error is not null) from bus_messages")

    rows = await world.db.fetch(
        "select kind, job_id, state, error, next_attempt_at > utc_now() as later from bus_messages order by event_id"
    )
    assert [(row["kind"], row["job_id"], row["state"]) for row in rows] == [
        ("job_started", UUID(job_id), "waiting"),
        ("job_finished", UUID(job_id), "waiting"),
    ]
    assert (rows[0]["error"], rows[0]["later"]) == ("the bus: it can't be reached, or the connection broke", True)
    assert {entry["event"] for entry in logged.entries} == {"messages wait"}
    assert "s3cret" not in str(logged.entries)


async def test_a_bus_that_says_nothing_is_given_up_on_for_now(
    client_of: ClientOf, world: World, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "_SECONDS_TO_CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with sending(AMQP_BROKER_URL=f"amqp://127.0.0.1:{silent.getsockname()[1]}/"):
            await run(client_of("blue_lab"), world)
            await _until(world, "select error = 'the bus: it does not answer in time' from bus_messages")


@needs_broker
async def test_a_job_that_was_purged_holds_up_no_other(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    lab = client_of("blue_lab")
    async with sending(AMQP_BROKER_URL=f"amqp://127.0.0.1:{closed_port()}/"):
        purged, kept = [await run(lab, world) for _ in range(2)]
        await _until(world, "select count(*) = 2 from bus_messages")
    await world.db.execute("delete from jobs where id = $1", UUID(purged))
    await world.db.execute(_MAKE_DUE)

    async with sending(**bus.settings):
        told = _told(await bus.take(1))
        await _until(world, "select bool_and(state <> 'waiting') from bus_messages")

    assert told == [("job_started", kept)]
    rows = await world.db.fetch("select state, error from bus_messages order by event_id")
    assert [tuple(row) for row in rows] == [("failed", "the job was purged"), ("sent", None)]


@needs_broker
async def test_a_message_that_can_not_be_written_is_given_up_and_holds_up_no_other(
    client_of: ClientOf, world: World, bus: Broker, sending: Sending
) -> None:
    lab = client_of("blue_lab")
    async with sending(AMQP_BROKER_URL=f"amqp://127.0.0.1:{closed_port()}/"):
        broken, well = [await run(lab, world, "success") for _ in range(2)]
        await _until(world, "select count(*) = 4 from bus_messages")
    start = "kind = 'job_started' and job_id = '" + broken + "'"
    # A moment that the protocol has no number for.
    await world.db.execute("update bus_messages set happened_at = '-infinity' where " + start)
    await world.db.execute(_MAKE_DUE)

    async with sending(**bus.settings):
        first = _told(await bus.take(2))
        await _until(world, "select faults = 1 from bus_messages where " + start)
    await world.db.execute("update bus_messages set faults = 11, next_attempt_at = utc_now() where " + start)
    async with sending(**bus.settings):
        last = _told(await bus.take(1))
        await _until(world, "select bool_and(state <> 'waiting') from bus_messages")

    assert first == [("job_started", well), ("job_finished", well)]
    assert last == [("job_finished", broken)]
    given_up = await world.db.fetch("select state, faults, error from bus_messages where " + start)
    assert [tuple(row) for row in given_up] == [("failed", 12, "a fault of the server: error")]


async def test_without_a_bus_nothing_is_kept_for_one(client_of: ClientOf, world: World, sending: Sending) -> None:
    async with receiving() as receiver, sending(DCI_WEBHOOK_ALLOWED_TARGETS="127.0.0.0/8"):
        await made(client_of("admin"), receiver.url)
        await run(client_of("blue_lab"), world, "failure")
        await receiver.wait_for(3)

    assert await world.count("bus_messages") == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AMQP_BROKER_URL": "http://u:s3cret@broker/"}, "AMQP_BROKER_URL can't be read"),
        ({"AMQP_BROKER_URL": "amqp://"}, "AMQP_BROKER_URL can't be read"),
        ({"AMQP_BROKER_URL": "amqp://u:s3cret@broker:99999/"}, "AMQP_BROKER_URL can't be read"),
        ({"AMQP_BROKER_URL": "amqps://u:s3cret@broker/?no_verify_ssl=1"}, "AMQP_BROKER_URL can't be read"),
        ({"AMQP_BROKER_URL": "amqps://u:s3cret@broker/", "AMQP_CA_FILE": "/nowhere"}, "AMQP_CA_FILE names no file"),
        ({"AMQP_EXCHANGE": "x" * 256}, "AMQP_EXCHANGE has more than 255 bytes"),
        ({"AMQP_DECLARE": "maybe"}, "AMQP_DECLARE is one of"),
    ],
)
def test_what_is_no_setting_of_a_bus_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(settings)

    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_bus_needs_what_speaks_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dci_server.settings.can_speak_to_a_bus", lambda: False)

    with pytest.raises(SettingsError, match=r"install dci-server\[amqp\]"):
        Settings.from_environment({"AMQP_BROKER_URL": "amqp://broker/"})


def test_a_server_without_a_bus_does_not_load_what_speaks_to_one() -> None:
    code = "import sys, dci_server.app; print(any(name.startswith('aiormq') for name in sys.modules))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "False"


def test_the_password_of_a_bus_is_in_no_text_about_it() -> None:
    bus = Settings.from_environment({"AMQP_BROKER_URL": "amqps://u:s3cret@broker:5671/dci"}).message_bus

    assert bus is not None
    assert bus.place == "amqps://broker:5671/dci"
    assert "s3cret" not in repr(bus)
