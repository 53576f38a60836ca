# SPDX-License-Identifier: Apache-2.0
"""How long a report's answer takes after its last byte, for a client with a slow line: `python -m benchmarks.arriving`."""

import argparse
import asyncio
import sys
import time

from benchmarks.load import Address, Connection, Laboratory, Payload
from benchmarks.scenarios import MEBIBYTE, find_topic, junit_of
from benchmarks.server import own_server
from benchmarks.signing import Signer

_PIECE = 16 * 1024
_TOPIC = "RHEL-9.6"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arriving", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="cases of the report")
    parser.add_argument("--rate", type=float, default=2.0, help="MiB that the client sends in a second")
    parser.add_argument("--times", type=int, default=15, help="how often it is sent")
    options = parser.parse_args()
    with own_server(1) as server:
        address = Address.of(server.base_url)
        signer = Signer(server.client_id, server.api_secret, address.netloc)
        delays = asyncio.run(_measured(address, signer, options.cases, options.rate * MEBIBYTE, options.times))
    delays.sort()
    sys.stdout.write(f"{options.cases} cases at {options.rate} MiB/s, {options.times} times: ")
    sys.stdout.write(f"median {delays[len(delays) // 2]:.0f} ms, fastest {delays[0]:.0f}, slowest {delays[-1]:.0f}\n")


async def _measured(address: Address, signer: Signer, cases: int, rate: float, times: int) -> list[float]:
    report = Payload.of(junit_of(cases))
    laboratory = Laboratory(Connection(address, signer), _TOPIC)
    await laboratory.connection.open()
    await find_topic(laboratory)
    delays: list[float] = []
    for _ in range(times + 1):
        answer = await laboratory.post("/jobs/schedule", {"topic_id": laboratory.topic_id, "comment": "benchmark"})
        delays.append(await _sent_slowly(address, signer, answer["job"]["id"], report, rate))
    await laboratory.connection.close()
    # The first one is compared with nothing, and its names are new.
    return delays[1:]


async def _sent_slowly(address: Address, signer: Signer, job_id: str, report: Payload, rate: float) -> float:
    """Milliseconds from its last byte to the answer."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        (
            f"POST /api/v1/files HTTP/1.1\r\n{signer.headers('POST', '/api/v1/files', report.sha256)}"
            f"DCI-JOB-ID: {job_id}\r\nDCI-NAME: slow\r\nDCI-MIME: application/junit\r\nContent-Length: {report.size}\r\n\r\n"
        ).encode()
    )
    begin = time.perf_counter()
    for start in range(0, report.size, _PIECE):
        writer.write(report.chunk[start : start + _PIECE])
        await writer.drain()
        await asyncio.sleep(begin + (start + _PIECE) / rate - time.perf_counter())
    sent = time.perf_counter()
    status = await reader.readline()
    delay = (time.perf_counter() - sent) * 1e3
    writer.close()
    await writer.wait_closed()
    if b" 201 " not in status:
        sys.exit(f"the report was answered {status.decode(errors='replace')}")
    return delay


if __name__ == "__main__":
    main()
