# SPDX-License-Identifier: Apache-2.0
"""A product is what is tested; teams are attached to the products they may see."""
