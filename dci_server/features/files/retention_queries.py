# SPDX-License-Identifier: Apache-2.0
"""The SQL of the retention of files: which jobs are past their rule, and how their files lose their content."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from dci_server.features.retention.model import rule_of_job
from dci_server.features.retention.queries import IN_ORDER, RULES
from dci_server.foundation.database.connection import Connection, Record, execute, fetch_row, fetch_rows, fetch_value
from dci_server.foundation.storage.removal import READERS_NEED

_RULE: LiteralString = rule_of_job("files")
_IS_EXPIRED: LiteralString = """
    coalesce(jobs.created_at < utc_now() - make_interval(days => rule.days) and not jobs.tags && rule.keep_tags, false)
    and jobs.status in ('success', 'failure', 'killed', 'error')
"""
# A file whose hash is not known waits for an import to bring its bytes.
_HAS_CONTENT: LiteralString = "files.content_removed_at is null and files.sha256 is not null"
_BEFORE_ALL = datetime(1, 1, 1)  # noqa: DTZ001 # times have no zone here


async def take_new(connection: Connection, limit: int) -> list[UUID]:
    """Jobs whose moment has to be worked out, in the transaction that does; none when no rule ever ends."""
    rows = await fetch_rows(
        connection,
        """select job_id from jobs_with_content
           where revision < (select revision from retention_revision)
                 and exists (select from retention_rules where what = 'files' and days is not null)
           order by revision, due_at, job_id limit %(limit)s::integer for update skip locked""",
        limit=limit,
    )
    return [row["job_id"] for row in rows]


async def work_out(connection: Connection, job_ids: list[UUID]) -> None:
    """When they are past their rule, as jobs and rules are now that nobody changes the jobs any more."""
    await execute(
        connection,
        """update jobs_with_content as worked_out
           set revision = retention_revision.revision,
               due_at = case when rule.days is null or jobs.tags && rule.keep_tags then 'infinity'
                        else jobs.created_at + make_interval(days => rule.days) end
           from retention_revision, jobs """
        + _RULE
        + " where jobs.id = worked_out.job_id and jobs.id = any(%(job_ids)s::uuid[])",
        job_ids=job_ids,
    )


async def find_due(db: Connection, after: Record | None) -> Record | None:
    """The next job that is past its rule."""
    return await fetch_row(
        db,
        """select job_id, due_at from jobs_with_content
           where revision = (select revision from retention_revision) and due_at < utc_now()
                 and (due_at, job_id) > (%(due_at)s::timestamp, %(job_id)s::uuid)
           order by due_at, job_id limit 1""",
        due_at=after["due_at"] if after else _BEFORE_ALL,
        job_id=after["job_id"] if after else UUID(int=0),
    )


async def lock_job(connection: Connection, job_id: UUID) -> bool:
    """False when somebody else is at it, or it is done."""
    found = await fetch_value(
        connection,
        "select true from jobs_with_content where job_id = %(job_id)s::uuid for update skip locked",
        job_id=job_id,
    )
    return found is True


async def lock_files(connection: Connection, job_id: UUID, limit: int) -> list[UUID]:
    """Files of a job that is past its rule, and from now on neither packed nor replaced nor deleted by others."""
    rows = await fetch_rows(
        connection,
        "select files.id from jobs "
        + _RULE
        + """ join files on files.job_id = jobs.id
           where jobs.id = %(job_id)s::uuid and """
        + _IS_EXPIRED
        + " and "
        + _HAS_CONTENT
        + " order by files.created_at, files.id limit %(limit)s::integer for update of files skip locked",
        job_id=job_id,
        limit=limit,
    )
    return [row["id"] for row in rows]


async def remove_contents(connection: Connection, file_ids: list[UUID]) -> Record:
    """Of files that are locked, in a statement after that, because until then they may have moved into a pack."""
    row = await fetch_row(
        connection,
        """with marked as (
               update files set content_removed_at = utc_now() where id = any(%(ids)s::uuid[])
               returning id, size, file_key(team_id, job_id, id) as key
           ), in_rows as (
               delete from files_contents where file_id = any(%(ids)s::uuid[]) returning file_id, octet_length(bytes) as size
           ), in_packs as (
               delete from files_packed where file_id = any(%(ids)s::uuid[]) returning file_id
           ), in_store as (
               select marked.* from marked
               where id not in (select file_id from in_rows) and id not in (select file_id from in_packs)
           ), queued as (
               insert into objects_to_remove (key, not_before) select key, utc_now() + """
        + READERS_NEED
        + """ from in_store on conflict (key) do nothing
           )
           select (select count(*) from marked) as files, (select count(*) from in_store) as objects,
                  (select coalesce(sum(size), 0) from in_rows)::bigint
                  + (select coalesce(sum(size), 0) from in_store)::bigint as bytes""",
        ids=file_ids,
    )
    assert row is not None
    return row


async def drop_empty_packs(connection: Connection, job_id: UUID) -> Record:
    """As whole objects. Those whose files have moved into other packs are looked after by the packer."""
    row = await fetch_row(
        connection,
        """with dropped as (
               delete from packs
               where job_id = %(job_id)s::uuid and replaced_at is null
                     and not exists (select from files_packed where pack_id = packs.id)
               returning key, size
           ) select coalesce(array_agg(key), '{}') as keys, coalesce(sum(size), 0)::bigint as bytes from dropped""",
        job_id=job_id,
    )
    assert row is not None
    return row


async def keep_for_readers(connection: Connection, keys: list[str]) -> None:
    """Objects that were dropped in this transaction: whoever was about to read one may do so."""
    await execute(
        connection,
        "update objects_to_remove set not_before = utc_now() + " + READERS_NEED + " where key = any(%(keys)s::text[])",
        keys=keys,
    )


async def forget_job(connection: Connection, job_id: UUID) -> None:
    """Unless a file of it has content: one that somebody is at work on, or that came meanwhile."""
    await execute(
        connection,
        """delete from jobs_with_content where job_id = %(job_id)s::uuid
           and not exists (select from files where files.job_id = jobs_with_content.job_id and content_removed_at is null)""",
        job_id=job_id,
    )


async def list_expired(db: Connection) -> list[Record]:
    """Each rule, with the files that are past it: of jobs that may have some."""
    return await fetch_rows(
        db,
        "with expired as (select jobs.id as job_id, rule.id as rule_id from jobs_with_content join jobs on jobs.id = job_id "
        + _RULE
        + " where "
        + _IS_EXPIRED
        + """), lost as (
            select expired.rule_id, expired.job_id,
                   contents.file_id is null and packed.file_id is null as is_object,
                   coalesce(octet_length(contents.bytes), case when packed.file_id is null then files.size else 0 end) as bytes
            from expired join files on files.job_id = expired.job_id
            left join files_contents as contents on contents.file_id = files.id
            left join files_packed as packed on packed.file_id = files.id
            where """
        + _HAS_CONTENT
        + """), dropped as (
            select expired.rule_id, packs.size from expired join packs on packs.job_id = expired.job_id
            where packs.replaced_at is null and exists (select from files_packed where pack_id = packs.id)
        ), of_files as (
            select rule_id, count(distinct job_id) as jobs, count(*) as files, count(*) filter (where is_object) as objects,
                   sum(bytes) as bytes from lost group by rule_id
        ), of_packs as (
            select rule_id, count(*) as objects, sum(size) as bytes from dropped group by rule_id
        )
        select topics.name as topic, teams.name as team, rules.days, rules.keep_tags,
               coalesce(of_files.jobs, 0) as jobs, coalesce(of_files.files, 0) as files,
               coalesce(of_files.objects, 0) + coalesce(of_packs.objects, 0) as objects,
               (coalesce(of_files.bytes, 0) + coalesce(of_packs.bytes, 0))::bigint as bytes
        from """
        + RULES
        + """ left join of_files on of_files.rule_id = rules.id left join of_packs on of_packs.rule_id = rules.id
        where rules.what = 'files'"""
        + IN_ORDER,
    )
