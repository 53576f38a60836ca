-- SPDX-License-Identifier: Apache-2.0
-- Jobs that an import brought when they were over, and that nobody has changed since. Later imports do it themselves.
insert into jobs_to_pack (job_id)
select id from jobs
where status in ('success', 'failure', 'killed', 'error') and state <> 'archived'
      and exists (select from files join files_contents on file_id = files.id
                  where files.job_id = jobs.id and files.state <> 'archived' and files.size <= 65536)
on conflict (job_id) do nothing;
