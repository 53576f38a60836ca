# SPDX-License-Identifier: Apache-2.0
"""How far an import is, and files whose bytes are still to come."""

from dci_server.migrations import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_imports.sql")
