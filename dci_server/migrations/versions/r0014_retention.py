# SPDX-License-Identifier: Apache-2.0
"""For how long the rows of test cases are kept."""

from dci_server.migrations import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql("0014_retention.sql")
