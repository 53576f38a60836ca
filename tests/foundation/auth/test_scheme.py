# SPDX-License-Identifier: Apache-2.0
import pytest

from dci_server.foundation.auth.scheme import Scheme, choose_scheme
from dci_server.foundation.errors import NotAuthenticated


@pytest.mark.parametrize(
    ("authorization", "scheme"),
    [
        ("Basic YTpi", "basic"),
        ("Basic", "basic"),
        ("Bearer x.y.z", "bearer"),
        ("DCI2-HMAC-SHA256 Credential=", "hmac"),
        ("AWS4-HMAC-SHA256 Credential=", "hmac"),
        ("DCI-HMAC-SHA256 Credential=", "hmac"),
    ],
)
def test_the_first_word_decides(authorization: str, scheme: Scheme) -> None:
    assert choose_scheme(authorization) == scheme


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "Authorization header missing"),
        ("", "Authorization scheme  unknown"),
        ("basic YTpi", "Authorization scheme basic unknown"),
        ("bearer x", "Authorization scheme bearer unknown"),
        ("Digest x", "Authorization scheme Digest unknown"),
        (" Basic YTpi", "Authorization scheme  unknown"),
        ("Basic\tYTpi", "Authorization scheme Basic\tYTpi unknown"),
        ("eyJhbGciOiJSUzI1NiJ9." + "x" * 40, "Authorization scheme … unknown"),
    ],
)
def test_anything_else_is_nobody(authorization: str | None, message: str) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        choose_scheme(authorization)

    assert refusal.value.message == message
