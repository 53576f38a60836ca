# SPDX-License-Identifier: Apache-2.0
"""The failures in the history of a case by an index of their own."""

from dci_server.migrations import run_sql

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    run_sql("0028_failures_of_a_case.sql")
