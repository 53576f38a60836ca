# SPDX-License-Identifier: Apache-2.0
"""Names that no case has any more are noted, and removed later."""

from dci_server.migrations import run_sql

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    run_sql("0031_unused_names.sql")
