# SPDX-License-Identifier: Apache-2.0
"""What is to be said on a message bus."""

from dci_server.migrations import run_sql

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    run_sql("0026_bus.sql")
