# SPDX-License-Identifier: Apache-2.0
"""Uploads say who opened them."""

from dci_server.migrations import run_sql

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    run_sql("0029_actors_of_uploads.sql")
