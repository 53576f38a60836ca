# SPDX-License-Identifier: Apache-2.0
"""Audits say what they are about."""

from dci_server.migrations import run_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sql("0024_audits_subject.sql")
