# SPDX-License-Identifier: Apache-2.0
"""Each test case of a report is a row."""

from dci_server.migrations import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql("0011_cases.sql")
