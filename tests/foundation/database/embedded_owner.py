# SPDX-License-Identifier: Apache-2.0
"""A program for the tests of the embedded PostgreSQL to kill: it owns a server, and writes into it until then.

Prints the URL, then (with --write) every number that the server has acknowledged. Ends properly when stdin does.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import asyncpg
import structlog

from dci_server.foundation.database import embedded_process
from dci_server.foundation.database.embedded import EmbeddedPostgres, EmbeddedPostgresError


async def write(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create table if not exists acknowledged (number bigint primary key)")
    while True:
        insert = "insert into acknowledged select coalesce(max(number), 0) + 1 from acknowledged returning number"
        print(await connection.fetchval(insert), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--not-durable", action="store_true")
    parser.add_argument("--without-death-signal", action="store_true", help="as on a system that has none")
    wanted = parser.parse_args()
    # A suite that a script started with `&` runs with SIGINT ignored, and so would we: Python leaves it at what it inherits.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    embedded_process.HAS_PARENT_DEATH_SIGNAL &= not wanted.without_death_signal

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        with EmbeddedPostgres(wanted.directory, durable=not wanted.not_durable) as server:
            print(server.url, flush=True)
            if wanted.write:
                asyncio.run(write(server.url))
            sys.stdin.read()
    except EmbeddedPostgresError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
