# SPDX-License-Identifier: Apache-2.0
"""What is due is sent: signed, in order, again after a failure, and whoever fails holds up nobody else."""

import asyncio
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog
from structlog.testing import LogCapture

from dci_server.features.webhooks import sending
from dci_server.foundation.outgoing.posting import signature
from tests.conftest import ClientOf, World
from tests.features.webhooks.conftest import Log, made
from tests.receiver import Received, answering, receiving
from tests.waiting import until


async def _finished(client: httpx.AsyncClient, webhook_id: str, *, state: str | None = None) -> list[dict[str, Any]]:
    """The log, once each delivery in it has been tried, and is in the state."""

    async def look() -> list[dict[str, Any]] | None:
        deliveries = (await client.get(f"/webhooks/{webhook_id}/deliveries?sort=event_id")).json()["deliveries"]
        is_over = all(each["attempted_at"] and state in (None, each["state"]) for each in deliveries)
        return deliveries if deliveries and is_over else None

    return await until(look)


async def test_a_ping_is_signed_and_its_answer_kept(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving(lambda _: answering(200, b"thanks")) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])

        sent = await alice.post(f"/webhooks/{webhook['id']}/ping")
        (received,) = await receiver.wait_for(1)
        (logged,) = await _finished(alice, webhook["id"])

    signed = dict(part.split("=") for part in received.headers["dci-webhook-signature"].split(","))
    text = signed["t"].encode() + b"." + received.body
    assert signed["v1"] == hmac.new(webhook["secret"].encode(), text, hashlib.sha256).hexdigest()
    assert received.headers["dci-webhook-id"] == sent.json()["delivery"]["id"] == received.json()["delivery_id"]
    assert received.headers["dci-webhook-event"] == received.json()["type"] == "ping"
    assert received.headers["content-type"] == "application/json"
    assert (logged["state"], logged["status"], logged["answer"], logged["error"]) == ("delivered", 200, "thanks", None)
    assert logged["duration_ms"] >= 0
    one = (await alice.get(f"/webhooks/{webhook['id']}/deliveries/{logged['id']}")).json()["delivery"]
    assert one["body"].encode() == received.body


async def test_a_failure_is_tried_again_later_under_the_same_id(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    answers = [answering(500, b"oops"), answering(200)]
    async with receiving(lambda _: answers.pop(0)) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        await log.add(1)
        await log.tell()
        (failed,) = await _finished(alice, webhook["id"])
        await log.make_due()
        (delivered,) = await _finished(alice, webhook["id"], state="delivered")
        metrics = (await alice.get("http://dci.test/metrics")).text

    assert (failed["state"], failed["status"], failed["answer"]) == ("waiting", 500, "oops")
    assert (delivered["state"], delivered["status"], delivered["attempts"]) == ("delivered", 200, 2)
    assert len({request.headers["dci-webhook-id"] for request in receiver.received}) == 1
    assert [request.headers["dci-webhook-attempt"] for request in receiver.received] == ["1", "2"]
    for outcome in ("failed", "received"):
        assert f'dci_deliveries_total{{by="webhook",outcome="{outcome}"}} 1.0' in metrics


async def test_an_answer_that_goes_on_in_interim_ones_is_read_in_part(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    interim = b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000
    async with receiving(lambda _: interim + answering(200)) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        await alice.post(f"/webhooks/{webhook['id']}/ping")
        (logged,) = await _finished(alice, webhook["id"])

    assert (logged["status"], logged["error"]) == (None, "what answered does not speak HTTP, or broke off")


async def test_events_of_a_job_arrive_in_order_also_when_one_fails(client_of: ClientOf, world: World) -> None:
    alice, job, other = client_of("alice"), uuid4(), uuid4()
    fails = {2}

    def answer(request: Received) -> bytes:
        return answering(500 if request.json()["event_id"] in fails else 200)

    async with receiving(answer) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        for event_id in (1, 2, 3, 4):
            await log.add(event_id, job)
        await log.add(5, other)
        await log.tell()
        await receiver.wait_for(3)
        await until(
            lambda: world.db.fetchval("select true from webhooks_deliveries where event_id = 2 and status = 500")
        )
        seen_first = [request.json()["event_id"] for request in receiver.received]
        fails.clear()
        await log.make_due()
        await receiver.wait_for(6)

    of_job = [request.json()["event_id"] for request in receiver.received if request.json()["event_id"] != 5]
    assert sorted(seen_first) == [1, 2, 5]
    assert of_job == [1, 2, 2, 3, 4]


async def test_one_that_does_not_answer_delays_no_other(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving(lambda _: None) as dead, receiving() as living:
        for receiver, count in ((dead, 200), (living, 50)):
            webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
            log = Log(world, webhook["id"])
            for event_id in range(count):
                await log.add(event_id)
        await log.tell()
        await living.wait_for(50)

    # It is not given more than four at a time.
    assert len(dead.received) <= 4


async def test_a_team_with_many_that_do_not_answer_delays_no_other_team(client_of: ClientOf, world: World) -> None:
    async with receiving(lambda _: None) as dead, receiving() as living:
        for receiver, who, team, count in ((dead, "alice", "Blue", 15), (living, "bob", "Red", 1)):
            for _ in range(count):
                webhook = await made(client_of(who), receiver.url, team_id=world.ids[team])
                log = Log(world, webhook["id"])
                for event_id in range(4):
                    await log.add(event_id)
        await world.db.execute("notify deliveries")
        await living.wait_for(4)
        await dead.wait_for(16)

    assert len(dead.received) == 16


async def test_those_with_much_to_be_told_take_turns_with_one_that_came_last(client_of: ClientOf, world: World) -> None:
    admin = client_of("admin")
    async with receiving() as crowd, receiving() as last:
        for receiver, teams, of_each in ((crowd, ("Blue", "Red", "Red Hat"), 4), (last, ("EPM",), 1)):
            for team in teams:
                for _ in range(of_each):
                    await made(admin, receiver.url, team_id=world.ids[team])
        await world.db.execute(
            """insert into webhooks_deliveries (webhook_id, event_id, type, subject_id, body)
               select webhooks.id, n, 'team_changed', gen_random_uuid(), '{}'
               from webhooks, generate_series(1, 60) as n order by n desc, webhooks.created_at;
               notify deliveries"""
        )
        await last.wait_for(1)
        told_before = len(crowd.received)

    # Of 720.
    assert told_before < 360


async def test_a_team_is_given_its_part_and_no_more(client_of: ClientOf, world: World) -> None:
    is_held: list[bool] = []

    def answer(_request: Received) -> bytes | None:
        is_held.append(len(is_held) > 0)
        return None if is_held[-1] else answering(204)

    async with receiving(answer) as slow:
        for _ in range(15):
            log = Log(world, (await made(client_of("alice"), slow.url, team_id=world.ids["Blue"]))["id"])
            for event_id in range(4):
                await log.add(event_id)
        await world.db.execute("notify deliveries")
        await slow.wait_for(17)
        await until(lambda: world.db.fetchval("select count(*) = 1 from webhooks_deliveries where state = 'delivered'"))
        in_hands = await world.db.fetchval("select count(*) from webhooks_deliveries where attempts = 1")

    assert in_hands == 17


async def test_one_that_keeps_failing_is_tried_seldom_and_recovers_at_once(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    is_well: list[bool] = []
    async with receiving(lambda _: answering(200 if is_well else 503)) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        for event_id in range(30):
            await log.add(event_id)
        await log.tell()
        await until(lambda: world.db.fetchval("select true from webhooks where retry_at > now() at time zone 'UTC'"))
        # A moment in which more would be tried, were it not left alone for ten seconds.
        await asyncio.sleep(0.2)
        tried = len(receiver.received)
        is_well.append(True)
        await log.make_due()
        await until(
            lambda: world.db.fetchval("select not exists (select from webhooks_deliveries where state = 'waiting')")
        )

    state = (await alice.get(f"/webhooks/{webhook['id']}")).json()["webhook"]
    assert tried <= 8
    assert (state["failures"], state["failing_since"]) == (0, None)


async def test_after_a_day_of_failures_it_is_disabled(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving(lambda _: answering(410)) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        await log.add(1)
        await log.tell()
        await _finished(alice, webhook["id"])
        await world.db.execute(
            "update webhooks set failing_since = failing_since - interval '25 hours';"
            "update webhooks_deliveries set give_up_at = give_up_at - interval '25 hours';"
        )
        await log.add(2)
        await log.make_due()
        await until(lambda: world.db.fetchval("select true from webhooks where state = 'inactive'"))
        await until(lambda: _counted(alice, 'dci_given_up_total{by="webhook"} 2.0'))
        log_then = (await alice.get(f"/webhooks/{webhook['id']}/deliveries")).json()["deliveries"]
        disabled = (await alice.get(f"/webhooks/{webhook['id']}")).json()["webhook"]
        await log.add(3)
        await log.make_due()
        tried = len(receiver.received)
        enabled = await alice.put(
            f"/webhooks/{webhook['id']}", json={"state": "active"}, headers={"If-match": disabled["etag"]}
        )

    assert [each["state"] for each in log_then] == ["failed", "failed"]
    assert disabled["disabled_reason"] == "nothing could be delivered for 24 hours; the last attempt: status 410"
    assert disabled["disabled_at"] is not None
    assert disabled["etag"] != webhook["etag"]
    assert tried <= 4
    assert (enabled.json()["webhook"]["failures"], enabled.json()["webhook"]["disabled_at"]) == (0, None)


async def _counted(client: httpx.AsyncClient, line: str) -> bool:
    return line in (await client.get("http://dci.test/metrics")).text.splitlines()


async def test_a_fault_of_ours_is_a_failure_of_that_delivery_alone(
    client_of: ClientOf, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign(secret: str, body: bytes, at: int) -> str:
        assert b'"event_id": 1' not in body
        return signature(secret, body, at)

    logged = LogCapture()
    monkeypatch.setattr(sending, "log", structlog.wrap_logger(None, processors=[logged]))
    monkeypatch.setattr(sending, "signature", sign)
    alice = client_of("alice")
    async with receiving() as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        broken = await log.add(1)
        await log.add(2)
        await log.tell()
        deliveries = await _finished(alice, webhook["id"])

    assert [(each["state"], each["error"]) for each in deliveries] == [
        ("waiting", "a fault of the server: AssertionError"), ("delivered", None),
    ]  # fmt: skip
    assert [request.json()["event_id"] for request in receiver.received] == [2]
    assert [(entry["event"], entry["delivery"]) for entry in logged.entries] == [("a delivery can't be sent", broken)]


async def test_a_team_that_is_not_active_is_told_nothing_until_it_is(client_of: ClientOf, world: World) -> None:
    async with receiving() as blue, receiving() as red:
        for receiver, who, team in ((blue, "alice", "Blue"), (red, "bob", "Red")):
            log = Log(world, (await made(client_of(who), receiver.url, team_id=world.ids[team]))["id"])
            await log.add(1)
        await world.db.execute("update teams set state = 'inactive' where name = 'Blue'")
        await log.tell()
        await red.wait_for(1)
        await until(lambda: world.db.fetchval("select true from webhooks_deliveries where state = 'delivered'"))
        told_while_inactive = len(blue.received)
        await world.db.execute("update teams set state = 'active' where name = 'Blue'")
        await log.tell()
        await blue.wait_for(1)

    assert told_while_inactive == 0


async def test_a_failure_after_a_long_pause_begins_the_day_anew(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving(lambda _: answering(410)) as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        await log.add(1, give_up_at=datetime(2020, 1, 1))
        await log.tell()
        await _finished(alice, webhook["id"], state="failed")
        await world.db.execute(
            "update webhooks set failing_since = failing_since - interval '9 days';"
            "update webhooks_deliveries set attempted_at = attempted_at - interval '9 days'"
        )
        later = await log.add(2)
        for attempts in (1, 2):
            await log.make_due()
            await until(
                lambda number=attempts: world.db.fetchval(
                    "select failures = $1 + 1 from webhooks where id = $2", number, webhook["id"]
                )
            )
        waiting = (await alice.get(f"/webhooks/{webhook['id']}/deliveries/{later}")).json()["delivery"]

    state = (await alice.get(f"/webhooks/{webhook['id']}")).json()["webhook"]
    assert (state["state"], waiting["state"], waiting["attempts"]) == ("active", "waiting", 2)


async def test_what_was_delivered_is_sent_again_on_demand(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving() as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        delivery = await log.add(1)
        await log.tell()
        await _finished(alice, webhook["id"])

        again = await alice.post(f"/webhooks/{webhook['id']}/deliveries/{delivery}/redeliver")
        await receiver.wait_for(2)

    assert again.status_code == 201
    assert again.json()["delivery"]["state"] == "waiting"
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["dci-webhook-id"] == second.headers["dci-webhook-id"] == delivery


async def test_a_delivery_of_a_dead_process_is_sent_by_another(client_of: ClientOf, world: World) -> None:
    """It was taken, and its lease has run out."""
    alice = client_of("alice")
    async with receiving() as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"])
        log = Log(world, webhook["id"])
        await log.add(1, attempts=1)
        await log.tell()
        (received,) = await receiver.wait_for(1)

    assert received.headers["dci-webhook-attempt"] == "2"


async def test_what_became_private_meanwhile_is_refused_when_it_is_sent(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving() as receiver:
        webhook = await made(alice, "https://example.org/", team_id=world.ids["Blue"])
        await world.db.execute("update webhooks set url = $1", f"http://10.0.0.1:{receiver.port}/hook")
        await alice.post(f"/webhooks/{webhook['id']}/ping")
        (logged,) = await _finished(alice, webhook["id"])

    assert "not public" in logged["error"]
    assert receiver.received == []


async def test_an_inactive_webhook_is_sent_nothing_but_pings(client_of: ClientOf, world: World) -> None:
    alice = client_of("alice")
    async with receiving() as receiver:
        webhook = await made(alice, receiver.url, team_id=world.ids["Blue"], state="inactive")
        log = Log(world, webhook["id"])
        await log.add(1)
        await alice.post(f"/webhooks/{webhook['id']}/ping")
        await receiver.wait_for(1)
        await log.tell()
        await until(lambda: world.db.fetchval("select true from webhooks_deliveries where state = 'delivered'"))

    assert [json.loads(request.body)["type"] for request in receiver.received] == ["ping"]
