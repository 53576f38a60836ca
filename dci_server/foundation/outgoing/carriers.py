# SPDX-License-Identifier: Apache-2.0
"""What takes messages to others, a mail server or a message bus, and how it can fail."""


class CarrierUnavailable(Exception):
    """It can't be reached, or not used: not the fault of any message."""


class MessageRefused(Exception):
    """This message was not accepted; `is_final` when it never will be."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final
