# SPDX-License-Identifier: Apache-2.0
"""The older way to follow finished jobs: a part of the events, and a position that its readers share."""
