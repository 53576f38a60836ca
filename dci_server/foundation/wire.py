# SPDX-License-Identifier: Apache-2.0
"""HTTP on the socket. What the parser can't read is refused in the contract's form too (conventions §7)."""

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dci_server.foundation.events.line import AT_SHUTDOWN, HANG_UP
from dci_server.foundation.http import Application, ErrorBody

_REFUSAL = msgspec.json.encode(
    ErrorBody(
        "this is not a valid HTTP request: look for control characters in a header, or for a wrong Content-Length",
        {},
        400,
    )
)


class WireProtocol(HttpToolsProtocol):
    """The server's own protocol, which otherwise answers in plain text."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: self.transport.abort}  # pyright: ignore[reportGeneralTypeIssues]

    def shutdown(self) -> None:
        super().shutdown()
        end = (self.scope or {}).get(AT_SHUTDOWN)
        if end is not None:
            end()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 # it says nothing about the request
        if isinstance(self.app, Application):  # pyright: ignore[reportUnknownMemberType] # uvicorn's
            self.app.audit_unread(self.client[0] if self.client else "")
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\n"
            b"content-length: " + str(len(_REFUSAL)).encode() + b"\r\nconnection: close\r\n\r\n" + _REFUSAL
        )
        self.transport.close()
