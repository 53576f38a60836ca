# SPDX-License-Identifier: Apache-2.0
"""The small files of a job that is over, together in one object."""

from dci_server.migrations import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql("0013_packs.sql")
