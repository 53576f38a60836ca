-- SPDX-License-Identifier: Apache-2.0
-- Finished jobs of a hub that was brought over, under the numbers that their readers know. They are no events: nobody is
-- told of them as of news. What is numbered here comes after them.
create table imported_jobs_events (
    id bigint primary key,
    created_at timestamp not null,
    job_id uuid not null,
    topic_id uuid,
    status text
);

create or replace view jobs_events as
select finished.id, finished.created_at, finished.job_id, finished.topic_id, finished.status
from (select id, created_at, job_id, topic_id, data ->> 'jobstate_status' as status from events where type = 'job_finished'
      union all
      select id, created_at, job_id, topic_id, status from imported_jobs_events) as finished
where exists (select from jobs where jobs.id = finished.job_id)
      and not (select removed from jobs_events_sequence) @> finished.id;
