# SPDX-License-Identifier: Apache-2.0
"""What is written to people: pure text from facts, plain and as HTML."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from urllib.parse import quote
from uuid import UUID

import msgspec

_SENDER = "Distributed-CI Notification"
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_SUBJECT_PART = 255


class JobFacts(msgspec.Struct, frozen=True):
    job_id: str
    status: str
    topic_id: str
    topic_name: str
    remoteci_id: str
    remoteci_name: str
    components: list[str]
    regressions: dict[str, int]


class ComponentFacts(msgspec.Struct, frozen=True):
    component_id: str
    component_name: str
    topic_id: str
    topic_name: str


class DisabledFacts(msgspec.Struct, frozen=True):
    webhook_id: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Letter:
    """`facts` are pairs of a name and a value; `reason` says why one gets it."""

    subject: str
    summary: str
    facts: Sequence[tuple[str, str]]
    sentence: str | None
    link: str | None
    reason: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


def of_job(facts: JobFacts, links: str) -> Letter:
    regressions = ", ".join(f"{name}: {count}" for name, count in sorted(facts.regressions.items()))
    return Letter(
        subject=_subject(facts.topic_name, facts.remoteci_name, facts.status),
        summary=f"A job of the laboratory {facts.remoteci_name} on {facts.topic_name} ended with the status {facts.status}.",
        facts=[
            ("Job", facts.job_id),
            ("Topic", facts.topic_name),
            ("Laboratory", facts.remoteci_name),
            ("Status", facts.status),
            ("Components", ", ".join(facts.components) or "none"),
        ],
        sentence=f"The regressions found are: {regressions}" if regressions else None,
        link=f"{links}/jobs/{quote(facts.job_id)}",
        reason=f"You get this mail because you follow the laboratory {facts.remoteci_name}.",
        headers={"DCI-remoteci": facts.remoteci_id, "DCI-topic": facts.topic_id},
    )


def of_component(facts: ComponentFacts, links: str) -> Letter:
    return Letter(
        subject=_subject(facts.topic_name, facts.component_name, "new"),
        summary=f"The topic {facts.topic_name} has a new component: {facts.component_name}.",
        facts=[("Topic", facts.topic_name), ("Component", facts.component_name)],
        sentence=None,
        link=f"{links}/topics/{quote(facts.topic_id)}/components/{quote(facts.component_id)}",
        reason=f"You get this mail because you follow the topic {facts.topic_name}.",
    )


def of_disabled_webhook(facts: DisabledFacts) -> Letter:
    return Letter(
        subject=f"[DCI Status][webhook][{facts.name}][disabled]",
        summary=f"The webhook {facts.name} was made inactive.",
        facts=[("Webhook", facts.webhook_id), ("Reason", facts.reason)],
        sentence="Make it active again when its address works; what was not delivered can be sent again from its log.",
        link=None,
        reason="You get this mail because you are a member of its team.",
    )


def _subject(*parts: str) -> str:
    return "[DCI Status]" + "".join(f"[{part[:_LONGEST_SUBJECT_PART]}]" for part in parts)


def write(letter: Letter, *, mail_id: UUID, sender: str, recipient: str, at: datetime) -> EmailMessage:
    """The same message each time it is tried, but for its date: its id tells that it is."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(display_name=_SENDER, addr_spec=sender)
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = _verbatim(letter.subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{mail_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    for name, value in letter.headers.items():
        message[name] = _verbatim(value)
    message.set_content(_plain(letter))
    message.add_alternative(_html(letter), subtype="html")
    return message


def _verbatim(text: str) -> str:
    """For a header. `=?` begins what the email package decodes when it is set, line breaks included; a space between ends
    that."""
    return one_line(text).replace("=?", "= ?")


def one_line(text: str) -> str:
    """No line break gets into a header, or breaks the lines of a mail."""
    return _NO_TEXT.sub(" ", text).strip()


def _plain(letter: Letter) -> str:
    width = max(len(name) for name, _ in letter.facts) + 1
    lines = [one_line(letter.summary), ""]
    lines += [f"{name + ':':<{width}} {one_line(value)}" for name, value in letter.facts]
    for part in (letter.sentence, letter.link):
        lines += ["", one_line(part)] if part else []
    return "\n".join([*lines, "", "-- ", one_line(letter.reason), ""])


def _html(letter: Letter) -> str:
    rows = "".join(
        f'<tr><td style="padding-right:1em;color:#555">{escape(name)}</td><td>{escape(one_line(value))}</td></tr>\n'
        for name, value in letter.facts
    )
    link = f'<p><a href="{escape(letter.link)}">{escape(letter.link)}</a></p>\n' if letter.link else ""
    sentence = f"<p>{escape(one_line(letter.sentence))}</p>\n" if letter.sentence else ""
    return (
        '<!doctype html>\n<html><body style="font-family:sans-serif">\n'
        f"<p>{escape(one_line(letter.summary))}</p>\n<table>\n{rows}</table>\n{sentence}{link}"
        f'<p style="color:#777">{escape(one_line(letter.reason))}</p>\n</body></html>\n'
    )
