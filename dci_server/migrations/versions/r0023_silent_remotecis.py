# SPDX-License-Identifier: Apache-2.0
"""Laboratories are listened for."""

from dci_server.migrations import run_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sql("0023_silent_remotecis.sql")
