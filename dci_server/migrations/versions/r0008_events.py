# SPDX-License-Identifier: Apache-2.0
"""What happened, as rows with increasing ids."""

from dci_server.migrations import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql("0008_events.sql")
