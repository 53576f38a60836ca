# SPDX-License-Identifier: Apache-2.0
"""The name of a suite is stored once for each report, and names are cut."""

from dci_server.migrations import run_sql

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    run_sql("0030_names_of_suites.sql")
