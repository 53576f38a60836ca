# SPDX-License-Identifier: Apache-2.0
"""How far events have been told, and mail."""

from dci_server.migrations import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql("0015_notifications.sql")
