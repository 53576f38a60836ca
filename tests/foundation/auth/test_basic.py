# SPDX-License-Identifier: Apache-2.0
import base64

import pytest

from dci_server.foundation.auth.basic import read_login_and_password
from dci_server.foundation.errors import NotAuthenticated


def basic(credentials: bytes) -> str:
    return "Basic " + base64.b64encode(credentials).decode()


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (b"alice:secret", ("alice", "secret")),
        (b"alice:se:cr:et", ("alice", "se:cr:et")),
        (b"alice:", ("alice", "")),
        (b":secret", ("", "secret")),
        ("ålice:påss wörd".encode(), ("ålice", "påss wörd")),
    ],
)
def test_the_login_ends_at_the_first_colon(credentials: bytes, expected: tuple[str, str]) -> None:
    assert read_login_and_password(basic(credentials)) == expected


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YTpi YTpi",
        "Basic  YTpi",
        "Basic YTp",
        "Basic YTpi\n",
        "Basic Ã©Ã©",
        basic(b"alice"),
        basic(b"alice:\xff"),
    ],
)
def test_undecodable_credentials_are_none_at_all(authorization: str) -> None:
    with pytest.raises(NotAuthenticated, match=r"^Authorization header missing$"):
        read_login_and_password(authorization)


def test_a_login_that_no_database_can_hold_is_nobody() -> None:
    with pytest.raises(NotAuthenticated, match=r"^Invalid user credentials$"):
        read_login_and_password(basic(b"ali\0ce:secret"))
