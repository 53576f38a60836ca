# SPDX-License-Identifier: Apache-2.0
"""Results are found by the one that they were compared with."""

from dci_server.migrations import run_sql

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    run_sql("0027_results_compared_with.sql")
