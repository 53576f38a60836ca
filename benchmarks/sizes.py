# SPDX-License-Identifier: Apache-2.0
"""What whole runs leave in the database and in the store, table by table: `python -m benchmarks.sizes`."""

import argparse
import asyncio
import sys

import asyncpg

from benchmarks.load import Address, Connection, Laboratory, LoadError, put_load
from benchmarks.report import markdown
from benchmarks.scenarios import CASES_OF_A_RUN, FILES_OF_A_RUN, find_topic, whole_run
from benchmarks.server import OwnServer, own_server
from benchmarks.signing import Signer

_TOPIC = "RHEL-9.6"
_LABORATORIES = 4
_LONGEST = 600
# A partition is counted with its table.
_SIZES = """
select coalesce(parent.relname, class.relname) as name, sum(pg_table_size(class.oid))::bigint as rows_bytes,
       sum(pg_indexes_size(class.oid))::bigint as indexes_bytes, sum(greatest(class.reltuples, 0))::bigint as rows
from pg_class as class left join pg_inherits on inhrelid = class.oid left join pg_class as parent on parent.oid = inhparent
where class.relkind = 'r' and class.relnamespace = 'public'::regnamespace
group by 1 having sum(greatest(class.reltuples, 0)) >= $1 order by sum(pg_total_relation_size(class.oid)) desc
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="whole runs to play [200]")
    options = parser.parse_args()
    try:
        with own_server(1) as server:
            asyncio.run(_measure(server, options.runs))
    except (LoadError, OSError, EOFError) as error:
        sys.exit(f"benchmarks.sizes: {error or type(error).__name__}")


async def _measure(server: OwnServer, runs: int) -> None:
    address = Address.of(server.base_url)
    signer = Signer(server.client_id, server.api_secret, address.netloc)
    laboratories = [Laboratory(Connection(address, signer), _TOPIC) for _ in range(_LABORATORIES)]
    for laboratory in laboratories:
        await laboratory.connection.open()
        await find_topic(laboratory)
    await put_load(whole_run(), laboratories, _LONGEST, runs)
    for laboratory in laboratories:
        await laboratory.connection.close()
    database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(server.database_url)
    await database.execute("vacuum analyze")
    tables = await database.fetch(_SIZES, float(runs))
    await database.close()
    stored = sum(path.stat().st_size for path in (server.data / "files").rglob("*") if path.is_file())
    rows = [
        (
            table["name"],
            f"{table['rows'] / runs:,.1f}",
            f"{table['rows_bytes'] / table['rows']:,.0f}",
            f"{table['indexes_bytes'] / table['rows']:,.0f}",
            f"{(table['rows_bytes'] + table['indexes_bytes']) / runs / 1024:,.1f}",
        )
        for table in tables
    ]
    total = sum(table["rows_bytes"] + table["indexes_bytes"] for table in tables)
    rows.append(("all of these", "", "", "", f"{total / runs / 1024:,.1f}"))
    rows.append(("objects in the store", "", "", "", f"{stored / runs / 1024:,.1f}"))
    sys.stdout.write(f"{runs} runs of {FILES_OF_A_RUN} logs of 2 KiB and a report of {CASES_OF_A_RUN:,} cases\n\n")
    head = ("table", "rows a run", "bytes a row", "bytes of indexes a row", "KiB a run")
    sys.stdout.write(markdown(head, rows) + "\n")


if __name__ == "__main__":
    main()
