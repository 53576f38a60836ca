-- SPDX-License-Identifier: Apache-2.0
-- Clients list `state:active`, not everything: the running totals of jobs tell the states apart, so that this count is a
-- few rows as well. Archived jobs are in no list and are not counted.

lock table jobs in share row exclusive mode;

drop trigger jobs_inserted on jobs;
drop trigger jobs_deleted on jobs;
drop trigger jobs_changed on jobs;
drop function count_inserted_jobs();
drop function count_deleted_jobs();
drop function count_changed_job();
drop function count_jobs(uuid, bigint);

truncate jobs_totals;
alter table jobs_totals add column state text not null;
alter table jobs_totals drop constraint jobs_totals_pkey, add primary key (team_id, state, slot);
insert into jobs_totals (team_id, state, slot, total)
select team_id, state, 0, count(*) from jobs where state <> 'archived' group by team_id, state;

-- In the order of the key, so that two transactions that change several rows don't wait for each other.
create function count_inserted_jobs() returns trigger language plpgsql as $$
begin
    insert into jobs_totals as t (team_id, state, slot, total)
    select team_id, state, pg_backend_pid() % 16, count(*) from inserted where state <> 'archived'
    group by team_id, state order by team_id, state
    on conflict (team_id, state, slot) do update set total = t.total + excluded.total;
    return null;
end $$;
create trigger jobs_inserted after insert on jobs
    referencing new table as inserted for each statement execute function count_inserted_jobs();

create function count_deleted_jobs() returns trigger language plpgsql as $$
begin
    insert into jobs_totals as t (team_id, state, slot, total)
    select deleted.team_id, deleted.state, pg_backend_pid() % 16, -count(*)
    from deleted join teams on teams.id = deleted.team_id where deleted.state <> 'archived'
    group by deleted.team_id, deleted.state order by deleted.team_id, deleted.state
    on conflict (team_id, state, slot) do update set total = t.total + excluded.total;
    return null;
end $$;
create trigger jobs_deleted after delete on jobs
    referencing old table as deleted for each statement execute function count_deleted_jobs();

create function count_changed_job() returns trigger language plpgsql as $$
begin
    insert into jobs_totals as t (team_id, state, slot, total)
    select team_id, state, pg_backend_pid() % 16, sum(difference)
    from (values (old.team_id, old.state, -1), (new.team_id, new.state, 1)) as changed (team_id, state, difference)
    where state <> 'archived' group by team_id, state order by team_id, state
    on conflict (team_id, state, slot) do update set total = t.total + excluded.total;
    return null;
end $$;
create trigger jobs_changed after update of state, team_id on jobs for each row
    when (old.team_id <> new.team_id or old.state <> new.state) execute function count_changed_job();
