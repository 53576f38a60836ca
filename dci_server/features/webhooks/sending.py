# SPDX-License-Identifier: Apache-2.0
"""Sends what is due, beside the requests of a server process; as many processes as there are share the work."""

import asyncio
import time
from collections import Counter

import structlog

from dci_server import __version__
from dci_server.features.webhooks.due import Due, note_failure, note_success, take_due
from dci_server.foundation.auth.secret_box import SecretBox
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import DATABASE_ERRORS, Connection
from dci_server.foundation.errors import ApiError
from dci_server.foundation.metrics import Metrics
from dci_server.foundation.outgoing.patience import seconds_before_attempt
from dci_server.foundation.outgoing.posting import Outcome, Poster, signature

_AT_ONCE = 48
_AT_ONCE_TO_FAILING = 16
"""Apart from those to webhooks that work, which therefore wait for none that does not answer."""
_AT_ONCE_TO_ONE = 4
_PARTS = 3
"""A team that has a third of what is sent at once is given no more: its webhooks may all take their time to answer."""
_SECONDS_TO_NOTE = 5.0
_IDLE_SECONDS = 3.0
_LONGEST_PAUSE = 8

log = structlog.get_logger("dci_server.webhooks")


class WebhookSender:
    def __init__(self, db: Connection, secrets: SecretBox, poster: Poster, metrics: Metrics, *, timeout: float) -> None:
        self._db = db
        self._secrets = secrets
        self._poster = poster
        self._metrics = metrics
        self._timeout = timeout
        self._repeating = Repeating("webhooks", self._send_due, idle=_IDLE_SECONDS)
        self._in_hands: dict[bool, dict[asyncio.Task[None], Due]] = {False: {}, True: {}}

    def start(self) -> None:
        self._repeating.start()

    def wake(self) -> None:
        self._repeating.wake()

    async def stop(self) -> None:
        """What is in hands is finished: cut short, it would be sent a second time."""
        await self._repeating.stop()
        sending = [*self._in_hands[False], *self._in_hands[True]]
        if sending:
            _, late = await asyncio.wait(sending, timeout=self._timeout + _SECONDS_TO_NOTE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _send_due(self) -> bool:
        found = [
            await self._take(failing=failing, most=most)
            for failing, most in ((False, _AT_ONCE), (True, _AT_ONCE_TO_FAILING))
        ]
        return any(found)

    async def _take(self, *, failing: bool, most: int) -> bool:
        in_hands = self._in_hands[failing]
        if len(in_hands) >= most:
            return False
        per_team = Counter(due.team_id for due in in_hands.values())
        part = most // _PARTS
        # So few that no team gets more than its part of them.
        room = part - max((count for count in per_team.values() if count < part), default=0)
        taken = await take_due(
            self._db,
            failing=failing,
            most=min(most - len(in_hands), room),
            of_each=1 if failing else _AT_ONCE_TO_ONE,
            lease=self._timeout + _SECONDS_TO_NOTE,
            in_hands=[due.webhook_id for due in in_hands.values()],
            busy_teams=[team_id for team_id, count in per_team.items() if count >= part],
        )
        for due in taken:
            task = asyncio.create_task(self._deliver(due))
            in_hands[task] = due
            task.add_done_callback(in_hands.pop)
            task.add_done_callback(lambda _task: self.wake())
        return bool(taken)

    async def _deliver(self, due: Due) -> None:
        try:
            outcome = await self._post(due)
        except Exception as fault:  # what nobody foresaw is a failure like others, given up like others
            log.error("a delivery can't be sent", delivery=str(due.id), exc_info=fault)
            outcome = Outcome(0, error=f"a fault of the server: {type(fault).__name__}")
        self._metrics.count_delivery("webhook", received=outcome.is_success)
        try:
            await self._note(due, outcome)
        except (ApiError, *DATABASE_ERRORS) as error:
            # It is due again in a moment, and may be received twice.
            log.warning("an outcome could not be noted", delivery=str(due.id), reason=type(error).__name__)

    async def _post(self, due: Due) -> Outcome:
        try:
            secret = self._secrets.open(due.sealed_secret, due.webhook_id)
        except ApiError:
            return Outcome(
                0, error="the secret can't be opened with the keys of the server; give the webhook a new one"
            )
        body = due.body.encode()
        return await self._poster.post(
            due.url,
            body,
            {
                "Content-Type": "application/json",
                "User-Agent": f"dci-server/{__version__}",
                "DCI-Webhook-Id": str(due.id),
                "DCI-Webhook-Event": due.type,
                "DCI-Webhook-Attempt": str(due.attempts),
                "DCI-Webhook-Signature": signature(secret, body, int(time.time())),
            },
        )

    async def _note(self, due: Due, outcome: Outcome) -> None:
        if outcome.is_success:
            await note_success(self._db, due, outcome)
            return
        failed = await note_failure(
            self._db,
            due,
            outcome,
            delay=seconds_before_attempt(due.attempts + 1),
            pauses=[seconds_before_attempt(number) for number in range(2, _LONGEST_PAUSE)],
        )
        self._metrics.count_given_up("webhook", failed.given_up)
        if failed.was_disabled:
            log.warning("a webhook was disabled", webhook=str(due.webhook_id))
