-- SPDX-License-Identifier: Apache-2.0
-- PostgreSQL keeps no plan for the condition of a trigger: each statement reads it anew, and that cost an upload more than
-- what its triggers do. See decision 0039.

-- Not in SQL, which would be put into the condition, and so be parsed each time.
create or replace function are_events_on() returns boolean language plpgsql stable as $$
begin
    return current_setting('dci.events', true) is distinct from 'off';
end $$;

-- A statement that sets no status does not even look at the condition.
drop trigger jobs_tell_finished on jobs;
create constraint trigger jobs_tell_finished after update of status on jobs deferrable initially deferred for each row
    when (old.status <> new.status and new.status in ('success', 'failure', 'error')
          and (old.status not in ('success', 'failure', 'error') or left(old.etag, 16) <> left(new.etag, 16))
          and are_events_on())
    execute function tell_finished_job();

drop trigger jobs_watched_again on jobs;
create trigger jobs_watched_again after update of status on jobs for each row
    when (old.status in ('success', 'failure', 'killed', 'error')
          and new.status not in ('success', 'failure', 'killed', 'error'))
    execute function watch_job_again();

-- What has to be known of a job that is over, on one condition.
create function remember_job_that_is_over() returns trigger language plpgsql as $$
begin
    insert into jobs_to_pack (job_id) values (new.id)
    on conflict (job_id) do update set quiet_since = excluded.quiet_since;
    insert into jobs_with_content (job_id) values (new.id)
    on conflict (job_id) do update set revision = 0 where jobs_with_content.revision <> 0;
    return null;
end $$;
drop trigger jobs_to_pack on jobs;
drop trigger jobs_with_content on jobs;
create trigger jobs_over after update on jobs for each row
    when (new.status in ('success', 'failure', 'killed', 'error'))
    execute function remember_job_that_is_over();
drop function remember_job_to_pack();
drop function remember_job_with_content();
