# SPDX-License-Identifier: Apache-2.0
"""Failed cases are counted from their index alone."""

from dci_server.migrations import run_sql

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    run_sql("0034_failed_cases.sql")
