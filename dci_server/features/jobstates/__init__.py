# SPDX-License-Identifier: Apache-2.0
"""A jobstate is one step of a job's life: a status, a moment, a comment."""
