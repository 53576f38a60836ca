# SPDX-License-Identifier: Apache-2.0
"""Jobs that go on are watched."""

from dci_server.migrations import run_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_sql("0022_silent_jobs.sql")
