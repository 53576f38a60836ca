# SPDX-License-Identifier: Apache-2.0
"""The SQL of test results."""

from uuid import UUID

from dci_server.features.test_results.model import TestsOfFile
from dci_server.foundation.database.connection import Connection, Json, execute, fetch_value


async def insert_result(db: Connection, file_id: UUID, counts: dict[str, int]) -> None:
    await execute(
        db,
        """insert into tests_results (name, total, success, skips, failures, errors, time, job_id, file_id)
           select files.name, %(total)s::integer, %(success)s::integer, %(skips)s::integer, %(failures)s::integer,
                  %(errors)s::integer, %(time)s::integer, files.job_id, files.id
           from files where files.id = %(file_id)s::uuid""",
        file_id=file_id,
        **counts,
    )


async def list_results(db: Connection, job_id: UUID) -> Json[list[TestsOfFile]]:
    """Those of deleted files are left out."""
    return Json(
        await fetch_value(
            db,
            """select json_build_object('results', coalesce(json_agg(row_to_json(r)), '[]'::json),
                                        '_meta', json_build_object('count', count(*)))
               from (select results.name, results.name as filename, total, success, skips, failures, errors, regressions,
                            successfixes, time, file_id
                     from tests_results as results join files on files.id = results.file_id
                     where results.job_id = %(job_id)s::uuid and files.state <> 'archived'
                     order by results.created_at, results.id) as r""",
            job_id=job_id,
        )
    )
