# SPDX-License-Identifier: Apache-2.0
"""The tables of the first version."""

from dci_server.migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_foundation.sql")
