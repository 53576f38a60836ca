# SPDX-License-Identifier: Apache-2.0
"""Who follows a laboratory hears of its failures, who follows a topic of its new components; nobody else, and once."""

import re
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
import structlog
from structlog.testing import LogCapture

from dci_server.features.notifications import outbox
from dci_server.features.silence.jobs import close_silent_jobs
from dci_server.foundation.http import Application
from tests.certificates import make_certificate, server_context
from tests.conftest import ClientOf, World, started
from tests.features.notifications.conftest import SENDING, run
from tests.features.webhooks.conftest import made
from tests.mailbox import Mailbox, mailbox
from tests.receiver import receiving
from tests.waiting import until

_EVERYTHING_IS_TOLD = """
    select exists (select from events, event_consumers
                   where events.job_id = $1 and events.type = 'job_finished' and events.id <= event_consumers.last_id)
"""
_DAY = timedelta(days=1)
_JUNIT = b'<testsuite name="s" tests="1"><testcase name="a" classname="c"><failure/></testcase></testsuite>'


async def _follow(client_of: ClientOf, world: World, who: str, lab: str = "blue_lab") -> None:
    response = await client_of(who).post(f"/remotecis/{world.ids[lab]}/users")
    assert response.status_code == 201


async def test_a_failed_job_is_told_with_its_facts(client_of: ClientOf, world: World, box: Mailbox) -> None:
    lab = client_of("blue_lab")
    await _follow(client_of, world, "alice")
    job_id = await run(lab, world, "running")
    await lab.post(
        "/files", content=_JUNIT, headers={"DCI-JOB-ID": job_id, "DCI-NAME": "smoke", "DCI-MIME": "application/junit"}
    )
    await lab.post("/jobstates", json={"job_id": job_id, "status": "failure"})

    (letter,) = await box.wait_for(1)

    message = letter.message
    assert letter.recipients == ["alice@example.org"]
    assert message["To"] == "alice@example.org"
    assert message["From"] == "Distributed-CI Notification <hub@example.org>"
    assert message["Subject"] == "[DCI Status][RHEL-9.6][blue_lab][failure]"
    assert message["DCI-remoteci"] == world.ids["blue_lab"]
    assert message["DCI-topic"] == world.ids["RHEL-9.6"]
    for kind in ("plain", "html"):
        text = letter.text(kind)
        assert f"https://ui.example.org/jobs/{job_id}" in text
        assert "The regressions found are: smoke: " in text
        for fact in (job_id, "RHEL-9.6", "blue_lab", "failure", "RHEL-9.6.0-1"):
            assert fact in text, (kind, fact)


async def test_only_failures_and_errors_are_told_and_each_once(client_of: ClientOf, world: World, box: Mailbox) -> None:
    lab = client_of("blue_lab")
    await _follow(client_of, world, "alice")
    await _follow(client_of, world, "admin")

    await run(lab, world, "running", "success")
    await run(lab, world, "running", "killed")
    failed = await run(lab, world, "running", "failure", "failure")
    erred = await run(lab, world, "running", "error")
    letters = await box.wait_for(4)

    told = sorted((letter.recipients[0], letter.message["Subject"]) for letter in letters)
    assert told == [
        (who, f"[DCI Status][RHEL-9.6][blue_lab][{status}]")
        for who in ("admin_user@example.org", "alice@example.org")
        for status in ("error", "failure")
    ]
    assert len({letter.message["Message-ID"] for letter in letters}) == 4
    assert all("regressions" not in letter.text("plain") for letter in letters)
    assert failed != erred


async def test_a_job_that_the_server_closes_is_told_as_any_other(
    client_of: ClientOf, app: Application, world: World, box: Mailbox
) -> None:
    await _follow(client_of, world, "alice")
    async with receiving() as receiver:
        await made(client_of("alice"), receiver.url, team_id=world.ids["Blue"], event_types=["job_finished"])
        job_id = await run(client_of("blue_lab"), world, "running")
        await world.db.execute(
            "update jobs set created_at = created_at - $1::interval, updated_at = updated_at - $1::interval", _DAY
        )
        assert app.services is not None
        await close_silent_jobs(app.services.db, _DAY)
        (letter,) = await box.wait_for(1)
        (request,) = await receiver.wait_for(1)

    assert letter.message["Subject"] == "[DCI Status][RHEL-9.6][blue_lab][error]"
    assert f"https://ui.example.org/jobs/{job_id}" in letter.text("plain")
    assert request.json()["event"]["data"]["status"] == "error"


async def test_a_status_corrected_by_hand_is_no_news(client_of: ClientOf, world: World, box: Mailbox) -> None:
    lab, alice = client_of("blue_lab"), client_of("alice")
    await _follow(client_of, world, "alice")
    job_id = await run(lab, world, "running", "success")
    etag = (await alice.get(f"/jobs/{job_id}")).json()["job"]["etag"]

    changed = await alice.put(f"/jobs/{job_id}", json={"status": "failure"}, headers={"If-match": etag})
    await run(lab, world, "running", "error")
    (letter,) = await box.wait_for(1)

    assert changed.status_code == 200
    assert letter.message["Subject"].endswith("[error]")


async def test_who_left_the_team_or_the_hub_is_told_nothing(client_of: ClientOf, world: World, box: Mailbox) -> None:
    for who in ("alice", "bob", "nobody", "admin"):
        await world.add("users_remotecis", user_id=world.ids[f"user {who}"], remoteci_id=world.ids["blue_lab"])
    gone = await world.add("users", name="gone", fullname="g", email="gone@example.org", state="archived")
    mute = await world.add("users", name="mute", fullname="m")
    for user_id in (gone, mute):
        await world.add("users_teams", user_id=user_id, team_id=world.ids["Blue"])
        await world.add("users_remotecis", user_id=user_id, remoteci_id=world.ids["blue_lab"])

    await run(client_of("blue_lab"), world, "running", "failure")
    await box.wait_for(2)

    waiting = await world.db.fetch("select email from mails order by email")
    assert [row["email"] for row in waiting] == ["admin_user@example.org", "alice@example.org"]


async def test_a_new_component_is_told_when_it_is_or_becomes_active(
    client_of: ClientOf, world: World, box: Mailbox
) -> None:
    admin = client_of("admin")
    await client_of("alice").post(f"/topics/{world.ids['RHEL-9.6']}/notifications")
    new = {"type": "compose", "topic_id": world.ids["RHEL-9.6"]}

    created = (await admin.post("/components", json={"display_name": "one", **new})).json()["component"]
    hidden = (await admin.post("/components", json={"display_name": "two", "state": "inactive", **new})).json()
    one = f"/components/{hidden['component']['id']}"
    etag = hidden["component"]["etag"]
    renamed = await admin.put(one, json={"title": "x", "state": "inactive"}, headers={"If-match": etag})
    await admin.put(one, json={"state": "active"}, headers={"If-match": renamed.json()["component"]["etag"]})
    # Letters about different things arrive in any order.
    letters = sorted(await box.wait_for(2), key=lambda letter: str(letter.message["Subject"]))

    assert [letter.message["Subject"] for letter in letters] == [
        "[DCI Status][RHEL-9.6][one][new]",
        "[DCI Status][RHEL-9.6][two][new]",
    ]
    link = f"https://ui.example.org/topics/{world.ids['RHEL-9.6']}/components/{created['id']}"
    assert link in letters[0].text("plain")
    assert link in letters[0].text("html")
    assert await world.count("mails") == 2


async def test_a_component_is_told_to_those_who_may_see_it(client_of: ClientOf, world: World, box: Mailbox) -> None:
    for who in ("alice", "bob", "nobody", "reader"):
        await world.add("users_topics", user_id=world.ids[f"user {who}"], topic_id=world.ids["RHEL-9.6"])

    await client_of("alice").post(
        "/components",
        json={"display_name": "ours", "type": "own", "topic_id": world.ids["RHEL-9.6"], "team_id": world.ids["Blue"]},
    )
    letters = await box.wait_for(2)
    await world.db.execute("update topics set export_control = false")
    await client_of("admin").post(
        "/components", json={"display_name": "secret", "type": "compose", "topic_id": world.ids["RHEL-9.6"]}
    )
    await box.wait_for(3)

    assert sorted(letter.recipients[0] for letter in letters[:2]) == ["alice@example.org", "reader@example.org"]
    assert [
        row["email"] for row in await world.db.fetch("select email from mails where facts::text like '%secret%'")
    ] == ["reader@example.org"]


async def test_names_can_neither_break_headers_nor_html(client_of: ClientOf, world: World, box: Mailbox) -> None:
    await _follow(client_of, world, "alice")
    evil = "x]\r\nBcc: eve@example.org\r\n\r\n<script>alert(1)</script>\u2028é"
    await world.db.execute("update topics set name = $1", evil)
    await world.db.execute("update remotecis set name = $1 where id = $2", evil, world.ids["blue_lab"])
    await world.db.execute("update components set name = $1", evil)

    await run(client_of("blue_lab"), world, "running", "failure")
    (letter,) = await box.wait_for(1)

    assert letter.recipients == ["alice@example.org"]
    assert letter.message["Bcc"] is None
    assert "<script>" in letter.message["Subject"]
    assert "<script>" not in letter.text("html")
    assert "&lt;script&gt;" in letter.text("html")
    assert "\nBcc:" not in letter.text("plain")


async def test_a_name_that_looks_encoded_is_sent_as_it_is(client_of: ClientOf, world: World, box: Mailbox) -> None:
    await _follow(client_of, world, "alice")
    evil = "=?utf-8?q?x=0d=0aBcc:_eve@example.org=0d=0a=0d=0aPay_here?="
    await world.db.execute("update remotecis set name = $1 where id = $2", evil, world.ids["blue_lab"])

    await run(client_of("blue_lab"), world, "running", "failure")
    (letter,) = await box.wait_for(1)

    assert letter.message["Bcc"] is None
    assert letter.message["Subject"].endswith("[= ?utf-8?q?x=0d=0aBcc:_eve@example.org=0d=0a=0d=0aPay_here?=][failure]")
    assert letter.message["DCI-remoteci"] == world.ids["blue_lab"]


async def test_an_address_that_is_several_is_none(client_of: ClientOf, world: World, box: Mailbox) -> None:
    await _follow(client_of, world, "alice")
    await _follow(client_of, world, "admin")
    await world.db.execute(
        "update users set email = $1 where name = 'alice'", "alice@example.org, eve@example.org\r\nBcc: eve@example.org"
    )

    await run(client_of("blue_lab"), world, "running", "failure")
    (letter,) = await box.wait_for(1)

    assert letter.recipients == ["admin_user@example.org"]


async def test_a_refused_recipient_holds_up_no_other(client_of: ClientOf, world: World, box: Mailbox) -> None:
    box.refuse = lambda recipient: "550 no such user" if recipient.startswith("alice") else None
    for who in ("alice", "admin"):
        await _follow(client_of, world, who)

    await run(client_of("blue_lab"), world, "running", "failure")
    (letter,) = await box.wait_for(1)
    await run(client_of("blue_lab"), world, "running", "error")
    await box.wait_for(2)

    states = await world.db.fetch(
        "select state, error from mails where email like 'alice%' order by created_at limit 1"
    )
    assert letter.recipients == ["admin_user@example.org"]
    assert [tuple(row) for row in states] == [("failed", "the recipient was refused: 550")]
    metrics = (await client_of("alice").get("http://dci.test/metrics")).text
    # Of the second letter to alice nobody waits for the end.
    assert re.search(r'dci_deliveries_total\{by="mail",outcome="failed"\} [12]\.0', metrics)


async def test_a_letter_that_can_not_be_written_is_given_up_and_holds_up_no_other(
    client_of: ClientOf, world: World, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = LogCapture()
    monkeypatch.setattr(outbox, "log", structlog.wrap_logger(None, processors=[logged]))
    await _follow(client_of, world, "alice")
    broken = {"user_id": world.ids["user alice"], "email": "alice@example.org", "kind": "job", "facts": "{}"}
    first, last = [
        await world.add("mails", event_id=-number, faults=faults, **broken) for number, faults in ((1, 0), (2, 11))
    ]

    await run(client_of("blue_lab"), world, "running", "failure")
    (letter,) = await box.wait_for(1)
    rows = await until(lambda: _all_tried(world, first, last))

    assert letter.message["Subject"] == "[DCI Status][RHEL-9.6][blue_lab][failure]"
    assert [tuple(row) for row in rows] == [
        ("waiting", 1, "a fault of the server: ValidationError", True),
        ("failed", 12, "a fault of the server: ValidationError", True),
    ]
    told = {(entry["event"], entry["message"], bool(entry.get("exc_info"))) for entry in logged.entries}
    assert told == {
        ("a message can't be sent", first, True), ("a message can't be sent", last, False),
        ("a message was given up", last, False),
    }  # fmt: skip
    metrics = (await client_of("alice").get("http://dci.test/metrics")).text
    assert 'dci_given_up_total{by="mail"} 1.0' in metrics


async def _all_tried(world: World, *mail_ids: str) -> list[asyncpg.Record] | None:
    rows = await world.db.fetch(
        "select state, faults, error, next_attempt_at > utc_now() from mails where id = any($1) and error is not null "
        "order by faults",
        mail_ids,
    )
    return rows if len(rows) == len(mail_ids) else None


@pytest.mark.parametrize(("account", "sender"), [("hub@example.org", None), ("hub", "no-reply@example.org")])
async def test_mail_goes_through_starttls_and_a_login(
    world: World, database_url: str, key: str, tmp_path: Path, account: str, sender: str | None
) -> None:
    certificate = make_certificate(tmp_path)
    await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids["blue_lab"])
    async with mailbox(tls=server_context(certificate), password="s3cret") as box:
        settings = {
            **SENDING,
            "DCI_EMAIL_SERVER_PORT": str(box.port),
            "DCI_EMAIL_TLS": "starttls",
            "DCI_EMAIL_ACCOUNT": account,
            "DCI_EMAIL_FROM": sender or "",
            "DCI_EMAIL_PASSWORD": "s3cret",
        }
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(certificate))
            async with started(database_url, key, tmp_path, **settings):
                job_id = await world.job(status="running")
                await world.db.execute("update jobs set status = 'failure' where id = $1", job_id)
                (letter,) = await box.wait_for(1)

    assert letter.was_encrypted
    assert letter.login == account
    assert letter.sender == (sender or account)


@pytest.mark.parametrize(
    ("host", "tls", "is_trusted", "reason"),
    [
        ("127.0.0.1", "starttls", False, "the TLS connection fails: is the certificate valid, and for this name?"),
        ("localhost", "starttls", True, "the TLS connection fails: is the certificate valid, and for this name?"),
        ("127.0.0.1", "plain", True, "it does not offer STARTTLS; see DCI_EMAIL_TLS"),
    ],
)
async def test_nothing_is_said_to_a_mail_server_that_does_not_prove_who_it_is(
    world: World, database_url: str, key: str, tmp_path: Path, host: str, tls: str, is_trusted: bool, reason: str
) -> None:
    certificate = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    trusted = certificate if is_trusted else make_certificate(tmp_path / "other")
    await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids["blue_lab"])
    context = server_context(certificate) if tls == "starttls" else None
    async with mailbox(tls=context) as box:
        settings = {
            **SENDING,
            "DCI_EMAIL_SERVER": host,
            "DCI_EMAIL_SERVER_PORT": str(box.port),
            "DCI_EMAIL_TLS": "starttls",
            "DCI_EMAIL_PASSWORD": "s3cret",
        }
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(trusted))
            async with started(database_url, key, tmp_path, **settings):
                job_id = await world.job(status="running")
                await world.db.execute("update jobs set status = 'failure' where id = $1", job_id)
                told = await until(lambda: world.db.fetchval("select error from mails"))

    assert told == f"the mail server: {reason}"
    assert (box.letters, box.asked) == ([], 0)
    assert await world.db.fetchval("select state from mails") == "waiting"


async def test_without_a_mail_server_nothing_is_kept_for_one(
    world: World, database_url: str, key: str, tmp_path: Path
) -> None:
    await world.add("users_remotecis", user_id=world.ids["user alice"], remoteci_id=world.ids["blue_lab"])
    async with started(database_url, key, tmp_path, DCI_DELIVERIES="on"):
        job_id = await world.job(status="running")
        await world.db.execute("update jobs set status = 'failure' where id = $1", job_id)
        await until(lambda: world.db.fetchval(_EVERYTHING_IS_TOLD, job_id))

    assert await world.count("mails") == 0
