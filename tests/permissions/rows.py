# SPDX-License-Identifier: Apache-2.0
"""The whole table."""

from tests.permissions.rows_of_accounts import ACCOUNTS, SERVER
from tests.permissions.rows_of_catalogue import CATALOGUE
from tests.permissions.rows_of_labs import LABS
from tests.permissions.rows_of_notifications import NOTIFICATIONS
from tests.permissions.rows_of_runs import RUNS

ROWS = [*ACCOUNTS, *CATALOGUE, *LABS, *RUNS, *NOTIFICATIONS, *SERVER]
