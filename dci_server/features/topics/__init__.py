# SPDX-License-Identifier: Apache-2.0
"""A topic is a line of builds of a product, say RHEL-9.6."""
