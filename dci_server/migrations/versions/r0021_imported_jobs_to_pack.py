# SPDX-License-Identifier: Apache-2.0
"""Jobs that were imported before an import said that they can be packed."""

from dci_server.migrations import run_sql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_sql("0021_imported_jobs_to_pack.sql")
