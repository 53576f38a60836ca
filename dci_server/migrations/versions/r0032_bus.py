# SPDX-License-Identifier: Apache-2.0
"""What is to be said on a message bus."""

from dci_server.migrations import run_sql

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    run_sql("0032_bus.sql")
