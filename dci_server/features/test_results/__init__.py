# SPDX-License-Identifier: Apache-2.0
"""A test result is what a JUnit file says, counted."""
