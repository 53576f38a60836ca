# SPDX-License-Identifier: Apache-2.0
"""The conditions of triggers cost little."""

from dci_server.migrations import run_sql

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    run_sql("0032_conditions_of_triggers.sql")
