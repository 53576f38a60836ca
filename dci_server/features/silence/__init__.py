# SPDX-License-Identifier: Apache-2.0
"""Silence is noticed: a job that says nothing any more is closed."""
