# SPDX-License-Identifier: Apache-2.0
"""An index for the latest run of a laboratory on a topic."""

from dci_server.migrations import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql("0020_latest_runs.sql")
