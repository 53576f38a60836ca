# SPDX-License-Identifier: Apache-2.0
"""The older way to follow finished jobs."""

from dci_server.migrations import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql("0016_jobs_events.sql")
