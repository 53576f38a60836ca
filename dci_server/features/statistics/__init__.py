# SPDX-License-Identifier: Apache-2.0
"""How each laboratory's latest run of each topic went."""
