# SPDX-License-Identifier: Apache-2.0
"""The signature scheme against the recorded vectors of existing servers, and against input nobody should send."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from dci_server.foundation.auth.signatures import (
    Claim,
    Query,
    SigningKeys,
    read_claim,
    read_query,
    require_in_window,
    require_signature,
)
from dci_server.foundation.errors import NotAuthenticated

CLIENT_ID = "7c1f0a52-93d4-4b6e-8a57-2f60c1e9b3d8"
TIMESTAMP = "20260115T102030Z"
SCOPE = "20260115/BHS3/api/dci2_request"
SIGNATURE = "0" * 64
SIGNED_AT = datetime.fromisoformat(TIMESTAMP)
INCOMPLETE = "HmacMechanism failed: bad or incomplete headers."
INVALID = "HmacMechanism failed: signature is invalid"
UNKNOWN = "identity does not exists."


class Refusal(msgspec.Struct):
    message: str


class Vector(msgspec.Struct):
    name: str
    method: str
    request_target: str
    headers: dict[str, str]
    body_base64: str
    canonical_request: str = ""
    signature: str = ""
    secret_key: str = ""
    based_on: str = ""
    server_now: str = TIMESTAMP
    http: Refusal | None = None


class Vectors(msgspec.Struct):
    valid: list[Vector]
    invalid: list[Vector]


VECTORS = msgspec.json.decode(Path(__file__).with_name("hmac_vectors.json").read_bytes(), type=Vectors)
SECRETS = {vector.name: vector.secret_key for vector in VECTORS.valid}
SECRET = SECRETS["get_no_query_empty_body"]
# Existing servers do not protect these bodies; we hash what was received (decision 27).
SIGNED_AS_EMPTY = {"form_body_signed_as_empty", "multipart_body_signed_as_empty"}
# Existing servers refuse this one; we read it as the published client does (decision 56), a test of its own below.
SIGNED_BY_THE_CLIENT = {"repeated_key_order_swapped"}


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def verify(vector: Vector) -> Query:
    headers = lower(vector.headers)
    raw_path, _, raw_query = vector.request_target.partition("?")
    claim = read_claim(headers["authorization"], headers)
    require_in_window(claim, datetime.fromisoformat(vector.server_now))
    return require_signature(
        claim,
        SigningKeys(vector.secret_key or SECRETS[vector.based_on]),
        method=vector.method,
        raw_path=raw_path.encode(),
        raw_query=raw_query.encode(),
        payload_sha256=hashlib.sha256(base64.b64decode(vector.body_base64)).hexdigest(),
    )


def authorization(
    *,
    algorithm: str = "DCI2-HMAC-SHA256",
    client: str = f"remoteci/{CLIENT_ID}",
    scope: str = SCOPE,
    signed_headers: str = "host;x-dci-date",
    signature: str = SIGNATURE,
) -> str:
    return f"{algorithm} Credential={client}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"


def headers_with(**changes: str) -> dict[str, str]:
    headers = {"host": "api.example.test", "x-dci-date": TIMESTAMP}
    return headers | {name.replace("_", "-"): value for name, value in changes.items()}


def signed_as(vector_name: str) -> Claim:
    vector = next(vector for vector in VECTORS.valid if vector.name == vector_name)
    headers = lower(vector.headers)
    return read_claim(headers["authorization"], headers)


@pytest.mark.parametrize("vector", [v for v in VECTORS.valid if v.name not in SIGNED_AS_EMPTY], ids=lambda v: v.name)
def test_what_existing_servers_accept_is_accepted(vector: Vector) -> None:
    query = verify(vector)

    assert query == read_query(vector.request_target.partition("?")[2].encode())


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS.invalid if v.name not in SIGNED_BY_THE_CLIENT], ids=lambda v: v.name
)
def test_what_existing_servers_refuse_is_refused_in_their_words(vector: Vector) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        verify(vector)

    assert vector.http is not None
    assert refusal.value.message.startswith(vector.http.message)
    assert refusal.value.status == 401


@pytest.mark.parametrize("vector", [v for v in VECTORS.valid if v.name in SIGNED_AS_EMPTY], ids=lambda v: v.name)
def test_a_form_body_is_protected_like_any_other(vector: Vector) -> None:
    with pytest.raises(NotAuthenticated, match=INVALID):
        verify(vector)


def test_the_claim_names_the_client_and_hides_the_signature() -> None:
    claim = read_claim(authorization(client=f"feeder/{CLIENT_ID}"), headers_with())

    assert (claim.client_type, claim.client_id) == ("feeder", UUID(CLIENT_ID))
    assert claim.signed_at == SIGNED_AT
    assert SIGNATURE not in repr(claim)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", INCOMPLETE),
        ("DCI2-HMAC-SHA256", INCOMPLETE),
        (authorization() + " more", INCOMPLETE),
        (authorization().replace(", ", ",  "), INCOMPLETE),
        (authorization().replace(", ", ","), INCOMPLETE),
        (authorization().replace(", ", " "), INCOMPLETE),
        (authorization(algorithm="DCI3-HMAC-SHA256"), INCOMPLETE),
        (authorization(algorithm="dci2-hmac-sha256"), INCOMPLETE),
        (authorization(client=CLIENT_ID), INCOMPLETE),
        (authorization(client=f"remoteci/x/{CLIENT_ID}"), INCOMPLETE),
        (authorization(client=f"remoteci/{CLIENT_ID}", scope=""), INCOMPLETE),
        (authorization(scope="20260115/BHS3/api/foo_request"), INCOMPLETE),
        (authorization(scope="20260115/BHS3é/api/dci2_request"), INCOMPLETE),
        (authorization(scope=f"20260115/{'r' * 5000}/api/dci2_request"), INCOMPLETE),
        (authorization(signature="é" * 64), INCOMPLETE),
        (authorization().replace("Credential=", ""), INCOMPLETE),
        (authorization(client=f"user/{CLIENT_ID}"), UNKNOWN),
        (authorization(client=f"Remoteci/{CLIENT_ID}"), UNKNOWN),
        (authorization(client="remoteci/1"), UNKNOWN),
        (authorization(client="remoteci/"), UNKNOWN),
        (authorization(client="remoteci/" + "_" * 32), UNKNOWN),
        (authorization(signed_headers=""), INVALID),
        (authorization(signed_headers=";"), INVALID),
        (authorization(signed_headers="host;x-dci-date;"), INVALID),
        (authorization(signed_headers="host;x-other"), INVALID),
        (authorization(signed_headers="Host;x-dci-date"), INVALID),
        (authorization().replace("SignedHeaders=", ""), INVALID),
    ],
)
def test_a_malformed_authorization_is_refused(text: str, message: str) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        read_claim(text, headers_with())

    assert refusal.value.message == message


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "api.example.test"},
        headers_with(x_dci_date=""),
        headers_with(x_amz_date=""),
        headers_with(x_dci_date="2026-01-15T10:20:30Z"),
        headers_with(x_dci_date="20260115T102030"),
        headers_with(x_dci_date="20260115T102030z"),
        headers_with(x_dci_date=TIMESTAMP + "\n"),
        headers_with(x_dci_date="20260115T1020300Z"),
        headers_with(x_dci_date="\N{ARABIC-INDIC DIGIT TWO}" + TIMESTAMP[1:]),
        headers_with(x_dci_date="20260230T102030Z"),
        headers_with(x_dci_date="00000115T102030Z"),
        headers_with(x_dci_date="20260115T240000Z"),
        headers_with(x_dci_date="20260115T102060Z"),
    ],
)
def test_a_date_that_is_missing_or_impossible_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        read_claim(authorization(), headers)

    assert refusal.value.message == INCOMPLETE


def test_an_upper_case_name_is_refused_even_if_the_header_is_found() -> None:
    headers = Headers(headers_with())

    with pytest.raises(NotAuthenticated, match=INVALID):
        read_claim(authorization(signed_headers="Host;x-dci-date"), headers)


def test_the_aws_date_wins_over_ours() -> None:
    claim = read_claim(authorization(), headers_with(x_amz_date="20260115T102031Z"))

    assert claim.timestamp == "20260115T102031Z"


@pytest.mark.parametrize("signature", ["", "0" * 63, "0" * 65, "g" * 64, "Signature=" * 9])
def test_a_signature_of_another_form_is_only_wrong(signature: str) -> None:
    claim = read_claim(authorization(signature=signature), headers_with())

    with pytest.raises(NotAuthenticated, match=INVALID):
        require_signature(claim, SigningKeys(SECRET), method="GET", raw_path=b"/", raw_query=b"", payload_sha256="")


def test_an_upper_case_signature_is_refused() -> None:
    vector = VECTORS.valid[0]
    shouted = vector.headers["Authorization"].replace(vector.signature, vector.signature.upper())

    with pytest.raises(NotAuthenticated, match=INVALID):
        verify(msgspec.structs.replace(vector, headers={**vector.headers, "Authorization": shouted}))


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 260), inserted=st.text(st.characters(max_codepoint=255), max_size=3), data=st.data())
def test_no_damage_to_the_headers_raises_anything_else(position: int, inserted: str, data: st.DataObject) -> None:
    good = authorization()
    removed = data.draw(st.integers(0, 3))
    damaged = good[:position] + inserted + good[position + removed :]
    headers = headers_with(host=inserted, x_dci_date=data.draw(st.sampled_from([TIMESTAMP, inserted])))

    with pytest.raises(NotAuthenticated):
        require_signature(
            read_claim(damaged, headers),
            SigningKeys(SECRET),
            method="GET",
            raw_path=data.draw(st.binary(max_size=20)),
            raw_query=data.draw(st.binary(max_size=20)),
            payload_sha256="",
        )


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(minutes=15), timedelta(minutes=-15)])
def test_the_window_is_fifteen_minutes_inclusive(offset: timedelta) -> None:
    require_in_window(read_claim(authorization(), headers_with()), SIGNED_AT + offset)


@pytest.mark.parametrize(
    ("offset", "skew"),
    [
        (timedelta(minutes=15, microseconds=1), "15 min 0 s behind the server's (server time 2026-01-15T10:35:30Z)"),
        (timedelta(minutes=17, seconds=3), "17 min 3 s behind the server's (server time 2026-01-15T10:37:33Z)"),
        (timedelta(hours=-2, minutes=-5), "2 h 5 min ahead of the server's (server time 2026-01-15T08:15:30Z)"),
        (timedelta(days=40, hours=3), "40 d 3 h behind the server's (server time 2026-02-24T13:20:30Z)"),
    ],
)
def test_outside_the_window_the_skew_and_the_remedy_are_named(offset: timedelta, skew: str) -> None:
    claim = read_claim(authorization(), headers_with())

    with pytest.raises(NotAuthenticated) as refusal:
        require_in_window(claim, SIGNED_AT + offset)

    assert refusal.value.message == (
        f"HmacMechanism failed: signature is expired: the request's clock is {skew}; "
        "set the clock of this machine, e.g. with NTP"
    )


@pytest.mark.parametrize(
    ("raw_query", "query"),
    [
        (b"", []),
        (b"&&a=1&", [("a", "1")]),
        (b"b=2&a=1&b=3", [("b", "2"), ("a", "1")]),
        (b"sort=&flag&x==y=", [("sort", ""), ("flag", ""), ("x", "=y=")]),
        (b"where=a+b%2Bc", [("where", "a b+c")]),
        (b"%C3%A9=\xc3\xa9&bad=%FF%zz", [("é", "é"), ("bad", "\N{REPLACEMENT CHARACTER}%zz")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
    ],
)
def test_the_servers_reading_of_a_query(raw_query: bytes, query: Query) -> None:
    assert read_query(raw_query) == query


@pytest.mark.parametrize(
    "raw_query",
    [
        # The vector signed first&limit=1&offset=0: what is added must not be seen by the handler.
        b"where=name:second&where=name:first&limit=1&offset=0",
        b"where=name:first&limit=1&offset=0&sort=",
    ],
)
def test_a_query_read_like_the_published_client_gives_only_what_was_signed(raw_query: bytes) -> None:
    claim = signed_as("get_query_repeated_key_first_wins")
    payload = hashlib.sha256(b"").hexdigest()

    query = require_signature(
        claim, SigningKeys(SECRET), method="GET", raw_path=b"/api/v1/jobs", raw_query=raw_query, payload_sha256=payload
    )

    assert sorted(query) == [("limit", "1"), ("offset", "0"), ("where", "name:first")]


def test_a_path_is_decoded_once_before_twice() -> None:
    claim = signed_as("get_path_double_decoding")
    payload = hashlib.sha256(b"").hexdigest()
    files = b"/api/v1/components/a61c3f08-d2e5-47b9-8f10-6b9d0c4e7a25/files/"

    for encoded in (b"A.txt", b"%41.txt", b"%2541.txt"):
        assert (
            require_signature(
                claim,
                SigningKeys(SECRET),
                method="GET",
                raw_path=files + encoded,
                raw_query=b"",
                payload_sha256=payload,
            )
            == []
        )
    with pytest.raises(NotAuthenticated, match=INVALID):
        require_signature(
            claim,
            SigningKeys(SECRET),
            method="GET",
            raw_path=files + b"%252541.txt",
            raw_query=b"",
            payload_sha256=payload,
        )


def test_few_scopes_are_kept_and_only_proven_ones() -> None:
    keys = SigningKeys(SECRET)
    first = read_claim(authorization(), headers_with())
    keys.keep(first, b"kept")

    for day in range(1, 20):
        keys.key_for(read_claim(authorization(scope=f"202602{day:02}/BHS3/api/dci2_request"), headers_with()))
    kept_after_strangers = keys.key_for(first)
    for day in range(1, 5):
        keys.keep(read_claim(authorization(scope=f"202602{day:02}/BHS3/api/dci2_request"), headers_with()), b"x")

    assert kept_after_strangers == b"kept"
    assert keys.key_for(first) != b"kept"


def test_a_refused_signature_leaves_no_key_behind() -> None:
    keys = SigningKeys(SECRET)
    wanted = read_claim(authorization(), headers_with())
    keys.keep(wanted, b"kept")

    for day in range(1, 20):
        claim = read_claim(authorization(scope=f"202602{day:02}/BHS3/api/dci2_request"), headers_with())
        with pytest.raises(NotAuthenticated):
            require_signature(claim, keys, method="GET", raw_path=b"/", raw_query=b"", payload_sha256="")

    assert keys.key_for(wanted) == b"kept"


def test_the_kept_key_verifies_the_next_request() -> None:
    keys = SigningKeys(SECRET)
    claim = signed_as("get_no_query_empty_body")
    payload = hashlib.sha256(b"").hexdigest()

    for _ in range(2):
        require_signature(
            claim, keys, method="GET", raw_path=b"/api/v1/identity", raw_query=b"", payload_sha256=payload
        )

    assert keys.key_for(claim) is keys.key_for(claim)
