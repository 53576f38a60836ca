# SPDX-License-Identifier: Apache-2.0
"""Whatever the document allows, and much that it does not, is answered as the document says.

Seconds of processor time for each caller, the same requests every time; with `--slow` many more, other ones each time.
"""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests.auth

from dci_server.app import openapi_document
from tests.conftest import World, assembled, proof_of
from tests.fuzzing.schema_run import Expected, Length, Signing, run
from tests.fuzzing.serving import served
from tests.signing import SignedBy


def _rejected(operations: str, says: str, reason: str) -> Expected:
    """A request that fits the document, and is refused with 400."""
    return Expected("positive_data_acceptance", operations, f"400 .*({says})", reason)


EXPECTED = (
    _rejected(
        "GET .*",
        "Invalid where key|Invalid sort key|Invalid field|where: |error while parsing the query|(offset|limit)' is a req",
        "where, sort and query are languages, and limit and offset go together: no JSON schema says it (conventions §4)",
    ),
    _rejected("GET .*", "(created|updated)_after is a time", "any spelling of a time is understood (decision 36)"),
    _rejected(
        "GET .*/(failing_cases|cases/.*)",
        "is not a moment|is what _meta.next|is a number of seconds|from is before to",
        "moments, pages and words that the document describes in words; the answer names what is possible",
    ),
    _rejected(
        "(POST|PUT) .*",
        "holds a control character|NUL can't be stored|half of a surrogate pair",
        "texts that cannot be kept or read; a pattern for each property would hide what the document is about",
    ),
    _rejected("PUT /api/v1/(identity|users/me)", "current_password", "needs the password that is right (decision 10)"),
    _rejected("POST /api/v1/components", "the body is (not )?valid under", "name or display_name, and not both"),
    _rejected("POST /api/v1/users", "the body is not valid under", "email or sso_username"),
    _rejected(
        "POST /api/v1/jobs(/schedule)?", "Only remoteci can create job", "the caller is refused with 400 (jobs §3)"
    ),
    _rejected("POST /api/v1/jobs(/schedule)?", "can't be created archived", "of states, one is not a beginning"),
    _rejected("(POST|PUT) .*", "Tags are either all texts or all numbers", "a mix is refused (jobs §12)"),
    _rejected("POST /api/v1/files", "HTTP headers? DCI-JOB", "one of two headers is needed, each an id (files §3.1)"),
    _rejected(
        "(POST|PUT) /api/v1/(components/.*/)?files.*",
        "gzip|zstd",
        "a body is compressed as its header says: no JSON schema speaks of both",
    ),
    _rejected(
        "(POST|PATCH) /api/v1/uploads.*", "Upload-(Metadata|Checksum)", "headers with a language of their own (tus.io)"
    ),
    _rejected("(POST|PUT) /api/v1/webhooks(/.*)?", "url is an address like", "of addresses, some are possible targets"),
    _rejected("POST /api/v1/jobstates", "The status is not one of", "any text is read, for the contract's message"),
)
"""Failures that are no faults, each with the words of the answer: another answer of the same call is a finding."""


@pytest.fixture
async def patient(world: World) -> None:
    """Wrong passwords are slow on purpose (decision page 0018); here each one is the first."""
    await world.db.execute(
        "create function patient() returns trigger language plpgsql as $$ begin new.failures := 1; return new; end $$"
    )
    await world.db.execute(
        "create trigger patient before insert or update on login_failures for each row execute function patient()"
    )


@pytest.fixture
def address(database_url: str, key: str, tmp_path: Path, patient: None) -> Iterator[str]:
    with served(assembled(database_url, key, tmp_path)) as found:
        yield found


def _auth(world: World, who: str) -> requests.auth.AuthBase | None:
    proof = proof_of(world, who)
    if isinstance(proof, SignedBy):
        return Signing(proof)
    return requests.auth.HTTPBasicAuth(*proof) if proof else None


def _length(config: pytest.Config, who: str) -> Length:
    if not config.getoption("--slow"):
        # The edges of a schema are the same for everybody, and a stranger is refused before anybody looks at them.
        return Length(examples=3, seed=1, deterministic=True, steps=4, edges=who != "stranger")
    seed = random.SystemRandom().randrange(2**32)
    return Length(examples=100, seed=seed, deterministic=False, steps=10, edges=True)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", ["admin", "blue_lab", "stranger"])
def test_every_call_answers_what_the_document_says(
    address: str, world: World, pytestconfig: pytest.Config, who: str
) -> None:
    length = _length(pytestconfig, who)

    report = run(address, _auth(world, who), length)

    print(who, length, sorted(report.statuses.items()))
    described = {f"{method.upper()} {path}" for path, calls in _paths().items() for method in calls}
    assert report.operations == described
    findings = report.unexplained(EXPECTED)
    assert not findings, "\n\n".join(str(found) for found in findings)


def _paths() -> Mapping[str, Mapping[str, object]]:
    paths: Any = openapi_document()["paths"]
    return paths
