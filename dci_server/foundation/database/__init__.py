# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: embedded or external, the pool, migrations, and the functions that every query goes through."""
