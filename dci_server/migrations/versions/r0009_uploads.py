# SPDX-License-Identifier: Apache-2.0
"""Big files that arrive in pieces."""

from dci_server.migrations import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009_uploads.sql")
