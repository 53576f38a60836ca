# SPDX-License-Identifier: Apache-2.0
"""Alembic asks for this file; `foundation/database/migrate.py` runs the migrations without it."""
