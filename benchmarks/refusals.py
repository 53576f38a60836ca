# SPDX-License-Identifier: Apache-2.0
"""How long the server takes to refuse absurd input, one request at a time: `python -m benchmarks.refusals`."""

import argparse
import sys
import time
from dataclasses import dataclass

import httpx

from benchmarks.server import own_server
from dci_server.rc_files import ADMIN_RC, read_rc

_LIMIT_MS = 50


@dataclass(frozen=True)
class Absurdity:
    name: str
    method: str
    path: str
    content: bytes | None = None


_ABSURDITIES = (
    Absurdity("10,000 nested parentheses", "GET", "/topics?query=" + "not(" * 10_000 + ")" * 10_000),
    Absurdity("an unknown column", "GET", "/jobs?where=nowhere:x"),
    Absurdity("limit=-1", "GET", "/jobs?limit=-1&offset=0"),
    Absurdity("offset=10^30", "GET", "/jobs?limit=1&offset=1" + "0" * 30),
    Absurdity("NUL in a text", "POST", "/teams", b'{"name": "a\\u0000b"}'),
    Absurdity("half of a surrogate pair", "POST", "/teams", b'{"name": "\\ud800"}'),
    Absurdity("10 MB of data", "POST", "/products", b'{"name": "' + b"x" * 10_000_000 + b'"}'),
    Absurdity("900,000 nested lists", "POST", "/teams", b'{"name": ' + b"[" * 900_000 + b"]" * 900_000 + b"}"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refusals", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="how often each is sent")
    options = parser.parse_args()
    with own_server(1) as server:
        login = read_rc(server.data / ADMIN_RC)
        auth = (login["DCI_LOGIN"], login["DCI_PASSWORD"])
        with httpx.Client(base_url=f"{server.base_url}/api/v1", auth=auth, timeout=60) as client:
            client.get("/identity")
            _tell("| absurd input | answer | median ms | slowest ms |")
            _tell("| --- | ---: | ---: | ---: |")
            missed = [_measured(client, absurdity, options.times) for absurdity in _ABSURDITIES]
    if any(missed):
        sys.exit(f"something took more than {_LIMIT_MS} ms, or was not refused")


def _measured(client: httpx.Client, absurdity: Absurdity, times: int) -> bool:
    """Whether it missed the limit, by its median."""
    taken: list[float] = []
    status = 0
    for _ in range(times):
        begin = time.perf_counter()
        response = client.request(
            absurdity.method, absurdity.path, content=absurdity.content, headers={"Content-Type": "application/json"}
        )
        taken.append((time.perf_counter() - begin) * 1e3)
        status = response.status_code
    taken.sort()
    median = taken[len(taken) // 2]
    _tell(f"| {absurdity.name} | {status} | {median:.1f} | {taken[-1]:.1f} |")
    return median > _LIMIT_MS or status not in {400, 413}


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
