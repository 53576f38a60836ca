# SPDX-License-Identifier: Apache-2.0
"""An index for the run that a report is compared with."""

from dci_server.migrations import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql("0019_previous_runs.sql")
