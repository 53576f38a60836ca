# SPDX-License-Identifier: Apache-2.0
"""Brings an existing control server over: its rows, its secrets, its files (docs/decisions/0019)."""
