# SPDX-License-Identifier: Apache-2.0
"""What a token of the single sign-on changes."""

from dci_server.migrations import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_single_sign_on.sql")
