# SPDX-License-Identifier: Apache-2.0
"""`/openapi.json` and `/docs`: what the route tables declare, for programs and for people."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import LiteralString

import msgspec

from dci_server.foundation.auth.rules import NOBODY_NEEDED
from dci_server.foundation.http import PublicHandler, Response, Route, Services
from dci_server.foundation.openapi import RouteDescription

_VERSION = re.compile(r"^/api/v\d+")
_CONVERTOR = re.compile(r":\w+(?=})")
_ASSETS = Path(__file__).parent / "swagger_ui"

_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>dci-server API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#page", deepLinking: true, tryItOutEnabled: true, docExpansion: "list",
  defaultModelsExpandDepth: 0, validatorUrl: null, persistAuthorization: false,
});
"""
_CACHE = ((b"cache-control", b"public, max-age=86400"),)
_ONLY_OURS = (
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ),
)


def describe(route: Route) -> RouteDescription:
    """One line of a route table, for the document."""
    nouns = _VERSION.sub("", route.full_path).strip("/").split("/")
    return RouteDescription(
        method=route.method,
        path=_CONVERTOR.sub("", route.full_path),
        summary=(route.handler.__doc__ or "").strip(),
        tags=nouns[0] or "server",
        body=route.body,
        closed=route.closed,
        raw_body=route.streams,
        answers=route.answers,
        list_parameters=route.listing or (),
        query=route.query,
        needs_etag=route.needs_etag,
        public=route.public,
        headers=route.headers,
        who=route.who.words,
        hides=route.who.hides,
        produces=route.produces,
        refusals=route.refusals,
    )


def routes(document: Callable[[], dict[str, object]]) -> list[Route]:
    """The document is built at the first request, when every route table is known."""

    @lru_cache(maxsize=1)
    def encoded() -> bytes:
        return msgspec.json.encode(document())

    async def openapi(services: Services) -> Response:  # noqa: ARG001
        """This document."""
        return Response(200, encoded())

    async def page(services: Services) -> Response:  # noqa: ARG001
        """The document as a page on which each call can be tried."""
        return Response(200, _PAGE, _ONLY_OURS, media_type=b"text/html; charset=utf-8")

    async def script(services: Services) -> Response:  # noqa: ARG001
        return Response(200, _asset("swagger-ui-bundle.js"), _CACHE, media_type=b"text/javascript; charset=utf-8")

    async def style(services: Services) -> Response:  # noqa: ARG001
        return Response(200, _asset("swagger-ui.css"), _CACHE, media_type=b"text/css; charset=utf-8")

    async def start(services: Services) -> Response:  # noqa: ARG001
        return Response(200, _START, _CACHE, media_type=b"text/javascript; charset=utf-8")

    return [
        Route(
            "GET",
            "/openapi.json",
            openapi,
            NOBODY_NEEDED,
            answers={200: None},
            public=True,
            prefix="",
            produces="application/json",
        ),
        Route("GET", "/docs", page, NOBODY_NEEDED, answers={200: None}, public=True, prefix="", produces="text/html"),
        _asset_route("/docs/swagger-ui-bundle.js", script),
        _asset_route("/docs/swagger-ui.css", style),
        _asset_route("/docs/start.js", start),
    ]


def _asset_route(path: LiteralString, handler: PublicHandler) -> Route:
    return Route("GET", path, handler, NOBODY_NEEDED, public=True, prefix="", documented=False)


@lru_cache(maxsize=4)
def _asset(name: str) -> bytes:
    return (_ASSETS / name).read_bytes()
