# SPDX-License-Identifier: Apache-2.0
"""Puts the load of laboratories on a server and says what it cost."""
