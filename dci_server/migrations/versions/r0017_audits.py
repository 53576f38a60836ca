# SPDX-License-Identifier: Apache-2.0
"""Audits of every call that changes something or is refused."""

from dci_server.migrations import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql("0017_audits.sql")
