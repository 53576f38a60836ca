# SPDX-License-Identifier: Apache-2.0
"""The log of finished jobs of an imported hub."""

from dci_server.migrations import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql("0018_imported_jobs_events.sql")
