# SPDX-License-Identifier: Apache-2.0
"""The running totals of jobs, written once per statement."""

from dci_server.migrations import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0007_totals_in_bulk.sql")
