# SPDX-License-Identifier: Apache-2.0
"""Files lose their content by rule."""

from dci_server.migrations import run_sql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_sql("0025_retention_of_files.sql")
