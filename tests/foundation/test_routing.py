# SPDX-License-Identifier: Apache-2.0
"""Which path is served by what: a table."""

from uuid import UUID

import pytest

from dci_server.foundation.routing import Paths

_ID = "3f4c1a2e-8b1d-4e0a-9a53-0d1f2a3b4c5d"
_PATHS = Paths(
    {
        path: path
        for path in ("/", "/healthz", "/api/v1/jobs", "/api/v1/jobs/schedule", "/api/v1/jobs/{job_id:uuid}",
                     "/api/v1/jobs/{job_id:uuid}/files", "/api/v1/topics/{topic_id:uuid}/tags/{tag}", "/static/{name}")
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "served", "values"),
    [
        ("/healthz", "/healthz", {}),
        ("/api/v1/jobs", "/api/v1/jobs", {}),
        ("/api/v1/jobs/schedule", "/api/v1/jobs/schedule", {}),
        (f"/api/v1/jobs/{_ID}", "/api/v1/jobs/{job_id:uuid}", {"job_id": UUID(_ID)}),
        (f"/api/v1/jobs/{_ID.upper()}", "/api/v1/jobs/{job_id:uuid}", {"job_id": UUID(_ID)}),
        (f"/api/v1/jobs/{_ID}/files", "/api/v1/jobs/{job_id:uuid}/files", {"job_id": UUID(_ID)}),
        (
            f"/api/v1/topics/{_ID}/tags/a b",
            "/api/v1/topics/{topic_id:uuid}/tags/{tag}",
            {"topic_id": UUID(_ID), "tag": "a b"},
        ),
        ("/static/style.css", "/static/{name}", {"name": "style.css"}),
    ],
)
def test_a_path_finds_what_serves_it(path: str, served: str, values: dict[str, object]) -> None:
    assert _PATHS.find(path) == (served, values)


@pytest.mark.parametrize(
    "path",
    ["", "x", "//", "/api", "/api/v1", "/api/v1/", "/api/v1/jobs/", "/api/v1/jobs/none", f"/api/v1/jobs/{_ID}x",
     f"/api/v1/files/{_ID}", f"/api/v1/jobs/{_ID}/files/", "/static/a/b", "/api/v1/jobs/\n"],
)  # fmt: skip
def test_another_path_finds_nothing(path: str) -> None:
    assert _PATHS.find(path) is None
