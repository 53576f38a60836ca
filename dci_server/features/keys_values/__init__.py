# SPDX-License-Identifier: Apache-2.0
"""A key-value is a number that a job reports under a name of its own."""
