# SPDX-License-Identifier: Apache-2.0
"""Messages that a fault of ours keeps from being sent are given up."""

from dci_server.migrations import run_sql

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    run_sql("0033_faults_of_messages.sql")
