# SPDX-License-Identifier: Apache-2.0
"""Ids that begin with the time, and cheaper etags."""

from dci_server.migrations import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql("0010_time_ordered_ids.sql")
