# SPDX-License-Identifier: Apache-2.0
"""The listing conventions, once for every resource: parameters in, a condition, an order and a page out."""
