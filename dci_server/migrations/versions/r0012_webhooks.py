# SPDX-License-Identifier: Apache-2.0
"""Webhooks and their deliveries."""

from dci_server.migrations import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql("0012_webhooks.sql")
