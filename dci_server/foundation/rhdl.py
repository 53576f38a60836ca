# SPDX-License-Identifier: Apache-2.0
"""RHDL, the service that has the files of RHEL builds: it is asked where a file is, in requests that we sign."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, unquote

import httpx
import structlog

from dci_server.foundation.errors import ApiError, NotFound

_REGION = "us-east-1"
_SERVICE = "api"
_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"
_TIMEOUT = httpx.Timeout(10, connect=3)
_OUR_LIST = "dci_files_list.json"
_THEIR_LIST = "rhdl_files_list.json"
_EMPTY = hashlib.sha256(b"").hexdigest()

log = structlog.get_logger("dci_server.rhdl")


class RhdlFailed(ApiError):
    """The service gave no usable answer."""

    status = HTTPStatus.BAD_GATEWAY

    def __init__(self) -> None:
        super().__init__("the RHDL service, which has the files of this component, does not work now; try again later")


class Rhdl:
    """The service at `base_url`, asked with the service account's key."""

    def __init__(self, base_url: str, access_key: str, secret_key: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._access_key = access_key
        self._secret_key = secret_key
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def find(self, display_name: str, path: str) -> str:
        """Where the component's file is. Raises NotFound when the service has none, RhdlFailed when it does not say."""
        if display_name in {"", ".", ".."}:
            # As a segment of an address these three would name another place.
            raise NotFound("file")
        url = f"{self._base_url}/components/{_segment(display_name)}/files/{_escaped(_renamed(path))}"
        try:
            request = self._client.build_request("GET", url)
            request.headers.update(self._signature(request, datetime.now(UTC)))
            response = await self._client.send(request, stream=True)
            await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("RHDL does not answer", kind=type(error).__name__)
            raise RhdlFailed from error
        return self._location(response)

    def _location(self, response: httpx.Response) -> str:
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise NotFound("file")
        location = str(response.headers.get("location", ""))
        if response.status_code != HTTPStatus.FOUND or not location.startswith(("http://", "https://")):
            log.warning("RHDL answers something else than a redirect", status=response.status_code)
            raise RhdlFailed
        return location

    def _signature(self, request: httpx.Request, now: datetime) -> Mapping[str, str]:
        """AWS4 as DCI has it (auth §4): the path is signed decoded."""
        timestamp = f"{now:%Y%m%dT%H%M%SZ}"
        path = unquote(request.url.raw_path.decode("ascii"))
        headers = f"host:{request.headers['host']}\nx-amz-date:{timestamp}\n"
        canonical = f"GET\n{path}\n\n{headers}\nhost;x-amz-date\n{_EMPTY}"
        scope = (timestamp[:8], _REGION, _SERVICE, _TERMINATOR)
        key = f"AWS4{self._secret_key}".encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{timestamp}\n{'/'.join(scope)}\n{digest}"
        return {
            "X-Amz-Date": timestamp,
            "Authorization": f"{_ALGORITHM} Credential={self._access_key}/{'/'.join(scope)}, "
            f"SignedHeaders=host;x-amz-date, Signature={hmac.digest(key, text.encode(), 'sha256').hex()}",
        }


def _renamed(path: str) -> str:
    # quirk: clients ask for the list of files by our name of it.
    return _THEIR_LIST if path == _OUR_LIST else path


def _segment(name: str) -> str:
    return quote(name, safe="")


def _escaped(path: str) -> str:
    return "/".join(_segment(segment) for segment in path.split("/"))
