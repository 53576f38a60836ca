# SPDX-License-Identifier: Apache-2.0
"""Which webhooks are told of an event: those whose team may see it and that want to hear of it."""

from typing import Any

from tests.conftest import ClientOf, World
from tests.features.notifications.conftest import run
from tests.features.webhooks.conftest import Log, made
from tests.mailbox import Mailbox
from tests.receiver import answering, receiving


async def test_a_run_is_told_in_order_to_its_team_and_to_the_hub(client_of: ClientOf, world: World) -> None:
    async with receiving() as blue, receiving() as red, receiving() as hub:
        await made(client_of("alice"), blue.url, team_id=world.ids["Blue"])
        await made(client_of("bob"), red.url, team_id=world.ids["Red"])
        await made(client_of("admin"), hub.url)
        job_id = await run(client_of("blue_lab"), world, "running", "failure")
        received = await blue.wait_for(4)
        await hub.wait_for(4)

    bodies: list[dict[str, Any]] = [request.json() for request in received]
    assert [body["type"] for body in bodies] == [
        "job_created", "job_state_changed", "job_state_changed", "job_finished",
    ]  # fmt: skip
    ids = [body["event"]["id"] for body in bodies]
    assert ids == sorted(ids)
    last = bodies[-1]
    assert last["event"]["data"]["status"] == "failure"
    assert last["event"]["subject"] == {"kind": "job", "id": job_id}
    assert last["names"] == {"team": "Blue", "topic": "RHEL-9.6", "remoteci": "blue_lab"}
    assert last["url"] == f"https://ui.example.org/jobs/{job_id}"
    assert red.received == []


async def test_filters_narrow_what_is_told(client_of: ClientOf, world: World) -> None:
    other = "6b1f9e2a-0000-4000-8000-00000000dead"
    filters: dict[str, dict[str, object]] = {
        "failures": {"event_types": ["job_finished"], "statuses": ["failure", "error"]},
        "successes": {"statuses": ["success"]},
        "topic": {"event_types": ["job_created"], "topic_ids": [world.ids["RHEL-9.6"], other]},
        "other topic": {"topic_ids": [other]},
        "other lab": {"remoteci_ids": [other]},
        "lab": {"event_types": ["job_created"], "remoteci_ids": [world.ids["blue_lab"]]},
    }
    async with receiving(lambda _: answering(204)) as receiver:
        for name, values in filters.items():
            await made(
                client_of("alice"),
                receiver.url.replace("hook", name.replace(" ", "-")),
                team_id=world.ids["Blue"],
                **values,
            )
        await run(client_of("blue_lab"), world, "running", "failure")
        await receiver.wait_for(3)

    told = sorted((request.path, request.json()["type"]) for request in receiver.received)
    assert told == [("/failures", "job_finished"), ("/lab", "job_created"), ("/topic", "job_created")]


async def test_components_are_told_to_teams_that_may_use_their_topic(client_of: ClientOf, world: World) -> None:
    product = await world.add("products", name="OpenShift", label="OSP")
    await world.add("products_teams", product_id=product, team_id=world.ids["Red"])
    hidden = await world.add("topics", name="OCP", product_id=product, component_types=["ocp"], export_control=True)
    async with receiving() as blue, receiving() as red:
        await made(client_of("alice"), blue.url, team_id=world.ids["Blue"], event_types=["component_created"])
        await made(client_of("bob"), red.url, team_id=world.ids["Red"], event_types=["component_created"])
        for topic_id, name in ((hidden, "of OCP"), (world.ids["RHEL-9.6"], "of RHEL")):
            await client_of("admin").post("/components", json={"display_name": name, "type": "x", "topic_id": topic_id})
        await red.wait_for(2)
        await blue.wait_for(1)

    assert [request.json()["event"]["data"]["display_name"] for request in blue.received] == ["of RHEL"]


async def test_the_team_is_told_by_mail_that_its_webhook_was_disabled(
    client_of: ClientOf, world: World, box: Mailbox
) -> None:
    async with receiving(lambda _: answering(500)) as receiver:
        webhook = await made(client_of("alice"), receiver.url, team_id=world.ids["Blue"])
        await Log(world, webhook["id"]).add(0, state="failed", attempts=1)
        await world.db.execute("update webhooks_deliveries set attempted_at = utc_now()")
        await world.db.execute("update webhooks set failing_since = utc_now() - interval '25 hours', failures = 1")
        await run(client_of("blue_lab"), world)
        (letter,) = await box.wait_for(1)

    assert letter.recipients == ["alice@example.org"]
    assert letter.message["Subject"] == "[DCI Status][webhook][hook][disabled]"
    assert "the last attempt: status 500" in letter.text("plain")
    assert webhook["id"] in letter.text("html")
