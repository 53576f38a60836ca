# SPDX-License-Identifier: Apache-2.0
"""Silence is noticed: a job that says nothing any more is closed, of a laboratory that makes no jobs any more an event tells."""
