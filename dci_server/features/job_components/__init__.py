# SPDX-License-Identifier: Apache-2.0
"""The components that a job ran with: some are found out only while it runs."""
