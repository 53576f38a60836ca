# SPDX-License-Identifier: Apache-2.0
"""For how long the rows of test cases are kept."""

from dci_server.migrations import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql("0013_retention.sql")
