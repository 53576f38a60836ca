# SPDX-License-Identifier: Apache-2.0
"""The tables of the whole resource model."""

from dci_server.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_hub.sql")
