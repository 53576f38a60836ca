-- SPDX-License-Identifier: Apache-2.0
-- Jobs that go on, and when they were last heard of, as far as somebody has looked. They come here when they are older than
-- the silence that is allowed: that costs their creation nothing, and most are over by then. An index on the jobs themselves
-- would cost every state and every upload its place in the page (HOT).
create table jobs_watched (
    job_id uuid primary key references jobs on delete cascade,
    heard_at timestamp not null default utc_now()
);
create index jobs_watched_heard_at_idx on jobs_watched (heard_at);

-- Up to which job, in the order of their creation, somebody has looked.
create table jobs_watching (
    is_only boolean primary key default true check (is_only),
    created_at timestamp not null default '-infinity',
    job_id uuid not null default '00000000-0000-0000-0000-000000000000'
);
insert into jobs_watching default values;

-- Whoever was behind that when it ended, or was closed, and goes on is watched again. A state of a job that goes on pays no
-- more than the look at what it was before.
create function watch_job_again() returns trigger language plpgsql as $$
begin
    insert into jobs_watched (job_id) values (new.id)
    on conflict (job_id) do update set heard_at = excluded.heard_at;
    return null;
end $$;
create trigger jobs_watched_again after update on jobs for each row
    when (old.status in ('success', 'failure', 'killed', 'error')
          and new.status not in ('success', 'failure', 'killed', 'error'))
    execute function watch_job_again();
