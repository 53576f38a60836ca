# SPDX-License-Identifier: Apache-2.0
"""A webhook is an address of others that is told of events, and the log of what it was told."""
