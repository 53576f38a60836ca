# SPDX-License-Identifier: Apache-2.0
"""Objects of the store that no row refers to."""

from dci_server.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_objects_to_remove.sql")
