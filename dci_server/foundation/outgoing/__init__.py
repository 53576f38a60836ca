# SPDX-License-Identifier: Apache-2.0
"""What the server sends of its own accord: to addresses that its users name, to a mail server."""
