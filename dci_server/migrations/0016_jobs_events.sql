-- SPDX-License-Identifier: Apache-2.0
-- The older way to follow finished jobs, as a view on the events: a position that all its readers share, and what they
-- have thrown away. Others still read those events, so they are only left out here.
create table jobs_events_sequence (
    is_only boolean primary key default true check (is_only),
    sequence bigint not null default 0,
    etag text not null default new_etag(),
    removed int8multirange not null default '{}'
);
insert into jobs_events_sequence default values;

create index events_finished_idx on events (id) where type = 'job_finished';

create view jobs_events as
select events.id, events.created_at, events.job_id, events.topic_id, events.data ->> 'jobstate_status' as status
from events
where events.type = 'job_finished' and exists (select from jobs where jobs.id = events.job_id)
      and not (select removed from jobs_events_sequence) @> events.id;
