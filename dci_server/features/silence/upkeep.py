# SPDX-License-Identifier: Apache-2.0
"""Silence is noticed beside the requests, within a minute or so."""

from datetime import timedelta

from dci_server.features.silence.jobs import close_silent_jobs
from dci_server.features.silence.remotecis import tell_silent_remotecis
from dci_server.foundation.background import Repeating
from dci_server.foundation.database.connection import Connection

_SECONDS_BETWEEN_PASSES = 60.0


def silence_keepers(db: Connection, close_jobs_after: timedelta, remotecis_after: timedelta) -> list[Repeating]:
    """What is 0 is left out."""
    keepers: list[Repeating] = []
    if close_jobs_after:
        keepers.append(
            Repeating("silent jobs", lambda: close_silent_jobs(db, close_jobs_after), idle=_SECONDS_BETWEEN_PASSES)
        )
    if remotecis_after:
        keepers.append(
            Repeating(
                "silent remotecis", lambda: tell_silent_remotecis(db, remotecis_after), idle=_SECONDS_BETWEEN_PASSES
            )
        )
    return keepers
