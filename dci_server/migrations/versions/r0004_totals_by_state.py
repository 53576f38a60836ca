# SPDX-License-Identifier: Apache-2.0
"""The running totals of jobs, by state."""

from dci_server.migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("0004_totals_by_state.sql")
