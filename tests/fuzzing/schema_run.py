# SPDX-License-Identifier: Apache-2.0
"""One run of schemathesis over the whole OpenAPI document, with every check that it has, as one caller."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.auth
import schemathesis
from schemathesis import engine
from schemathesis.engine import events
from schemathesis.engine.recorder import ScenarioRecorder

from tests.signing import SignedBy


@dataclass(frozen=True)
class Length:
    """How much a run tries. `edges` are those of every schema, one after the other, the same in all runs."""

    examples: int
    seed: int
    deterministic: bool
    steps: int
    edges: bool


@dataclass(frozen=True)
class Finding:
    """A check that failed."""

    check: str
    operation: str
    said: str
    answer: str
    curl: str

    def __str__(self) -> str:
        return f"{self.check}: {self.operation}\n  {self.said}\n  {self.curl}\n  → {self.answer}"


@dataclass(frozen=True)
class Expected:
    """A failure that is no fault: where the contract asks for what the check does not know."""

    check: str
    operations: str
    answers: str
    reason: str

    def explains(self, finding: Finding) -> bool:
        return (
            self.check == finding.check
            and re.fullmatch(self.operations, finding.operation) is not None
            and re.match(self.answers, finding.answer) is not None
        )


@dataclass
class Report:
    """What a run did and found."""

    statuses: Counter[int]
    checks: Counter[str]
    operations: set[str]
    findings: dict[tuple[str, str, str], Finding]

    def unexplained(self, expected: Iterable[Expected]) -> list[Finding]:
        known = list(expected)
        return [found for found in self.findings.values() if not any(each.explains(found) for each in known)]


class Signing(requests.auth.AuthBase):
    """Signs what requests is about to send."""

    def __init__(self, signer: SignedBy) -> None:
        self._signer = signer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        body = request.body or b""
        assert isinstance(body, str | bytes), "no call of the document is streamed by its client"
        sha256 = hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest()
        host = urlsplit(request.url or "").netloc
        request.headers["X-DCI-Date"] = timestamp
        request.headers["Authorization"] = self._signer.authorization(
            request.method or "", request.path_url, str(host), timestamp, sha256
        )
        return request


# The contract's own refusals, which the checks count as none: 412 without an etag (conventions §5), 413. 415 is a header's.
_REFUSED = [400, 401, 404, 405, 409, 412, 413, 415]
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
_CHECKS: Mapping[str, Mapping[str, object]] = {
    "negative_data_rejection": {"expected-statuses": _REFUSED},
    "missing_required_header": {"expected-statuses": [400, 401, 404, 412]},
    "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", 401, 404, 409, 412]},
}


def run(address: str, auth: requests.auth.AuthBase | None, length: Length) -> Report:
    settings: dict[str, Any] = {
        "seed": length.seed,
        "base-url": address,
        "continue-on-failure": True,
        "suppress-health-check": ["all"],
        "cache": {"enabled": False},
        "checks": _CHECKS,
        "phases": {"stateful": {"max-steps": length.steps}, "coverage": {"enabled": length.edges}},
        "generation": {
            "deterministic": length.deterministic,
            "max-examples": length.examples,
            "database": "none",
            "no-shrink": True,
            # Each would be a wrong password, whose hash is slow to compute; `ignored_auth` tries some anyway.
            "with-security-parameters": False,
        },
    }
    # Not by its address, which would leave the call that answers the document untried.
    document: Any = requests.get(f"{address}/openapi.json", timeout=60).json()
    openapi: Any = schemathesis.openapi
    schema = openapi.from_dict(document, config=schemathesis.Config.from_dict(settings))  # pyright: ignore[reportUnknownMemberType]
    if auth is not None:
        schema.auth.set_from_requests(auth)
    report = Report(Counter(), Counter(), set(), {})
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            raise event.value
        if isinstance(event, events.ScenarioFinished):
            _take(event.recorder, report)
    return report


def _take(recorder: ScenarioRecorder, report: Report) -> None:
    for interaction in recorder.interactions.values():
        report.statuses[interaction.response.status_code if interaction.response else 0] += 1
    for case_id, checks in recorder.checks.items():
        report.operations.add(_operation(recorder, case_id))
        report.checks.update(check.name for check in checks)
    for found in _failures(recorder):
        # One for each kind of answer: a check that is expected to fail in one way may not hide another.
        report.findings.setdefault((found.check, found.operation, found.answer[:60]), found)


def _operation(recorder: ScenarioRecorder, case_id: str) -> str:
    node: Any = recorder.cases[case_id]
    return node.value.operation.label


def _failures(recorder: ScenarioRecorder) -> Iterator[Finding]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            failure = check.failure_info.failure
            response = recorder.interactions[failure.case_id or case_id].response
            answer = f"{response.status_code} {response.content.decode(errors='replace')[:400]}" if response else "none"
            yield Finding(
                check.name,
                _operation(recorder, case_id),
                f"{failure.title}: {failure.message}",
                answer,
                check.failure_info.code_sample[:600],
            )
