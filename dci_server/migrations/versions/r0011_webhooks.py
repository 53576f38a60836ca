# SPDX-License-Identifier: Apache-2.0
"""Webhooks and their deliveries."""

from dci_server.migrations import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql("0011_webhooks.sql")
