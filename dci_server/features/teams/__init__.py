# SPDX-License-Identifier: Apache-2.0
"""A team is a company or a group in it: its people, its laboratories, what it may test."""
