# SPDX-License-Identifier: Apache-2.0
"""Whatever the published client library signs is accepted, with exactly the values it signed."""

import hashlib
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qsl, quote

import requests
from dciauth.signature import HmacAuthBase
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.auth import AuthBase

from dci_server.foundation.auth.signatures import SigningKeys, read_claim, require_in_window, require_signature

CLIENT = "remoteci/7c1f0a52-93d4-4b6e-8a57-2f60c1e9b3d8"
SECRET = "DCI." + "kT3vQ9mZx7LrB2wYc5NdF8hJg1PsA6uEoR4iVtKpXbMzWqCyDnHaSjGfUeLl"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# The library signs the path without what follows a `;`, so no server can verify those.
segment = (text | st.sampled_from(["100%41", "a+b", "%252F"])).map(
    lambda word: quote(word, safe="+").replace("%3B", "")
)
path = st.lists(segment, max_size=4).map(lambda segments: "/api/v1/" + "/".join(segments))
# Few names, so that they repeat; blank values too.
parameters = st.lists(st.tuples(st.sampled_from(["where", "sort", "a", "a-b", "é"]) | text, text), max_size=5)
raw_query = st.text("abé=&%+41CF/;:*~", max_size=20)


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]),
    path=path,
    query=parameters | raw_query,
    body=st.binary(max_size=50) | text,
)
def test_what_the_client_signs_is_what_the_handler_gets(
    method: str, path: str, query: list[tuple[str, str]] | str, body: bytes | str
) -> None:
    auth: AuthBase = HmacAuthBase(CLIENT, SECRET, "api", "BHS3")
    url = "http://api.example.test:8080" + path
    prepared = requests.Request(method, url, params=query, data=body, auth=auth).prepare()
    raw_path, _, raw_query = prepared.path_url.partition("?")
    sent = cast("bytes | str | None", prepared.body) or b""
    payload = sent if isinstance(sent, bytes) else sent.encode()
    headers = {name.lower(): str(value) for name, value in prepared.headers.items()}

    claim = read_claim(headers["authorization"], headers)
    require_in_window(claim, datetime.now(UTC))
    query_of_handler = require_signature(
        claim,
        SigningKeys(SECRET),
        method=method,
        raw_path=raw_path.encode(),
        raw_query=raw_query.encode(),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
    )

    assert dict(query_of_handler) == dict(parse_qsl(raw_query))
    assert len(dict(query_of_handler)) == len(query_of_handler)
