# SPDX-License-Identifier: Apache-2.0
"""Plain SQL, forward only: the one definition of the tables."""

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only


def run_sql(name: str) -> None:
    """Runs a file of several statements in the migration's transaction."""
    sql = (Path(__file__).parent / name).read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    await_only(driver.execute(sql))
