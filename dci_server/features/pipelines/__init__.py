# SPDX-License-Identifier: Apache-2.0
"""A pipeline groups the jobs of one run through several stages."""
