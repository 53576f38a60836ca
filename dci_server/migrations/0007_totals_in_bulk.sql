-- SPDX-License-Identifier: Apache-2.0
-- Archiving a team or a remoteci changes thousands of jobs in one statement, and each changed the same two running totals:
-- as many versions of two rows, each looked for among the others. Now each row's trigger only notes what changed, in a
-- setting that lives as long as the transaction, and the statement's trigger writes one row per team and state.
-- No transition tables, as for insert and delete: they can't go with a list of columns, and without one every upload and
-- every jobstate (which touch the job's etag) would be collected and compared.

lock table jobs in share row exclusive mode;

drop trigger jobs_changed on jobs;
drop function count_changed_job();

create function note_changed_job() returns trigger language plpgsql as $$
declare
    noted jsonb := coalesce(nullif(current_setting('dci.changed_jobs', true), ''), '{}');
    key text;
begin
    if old.state <> 'archived' then
        key := old.team_id || ' ' || old.state;
        noted := noted || jsonb_build_object(key, coalesce((noted ->> key)::bigint, 0) - 1);
    end if;
    if new.state <> 'archived' then
        key := new.team_id || ' ' || new.state;
        noted := noted || jsonb_build_object(key, coalesce((noted ->> key)::bigint, 0) + 1);
    end if;
    perform set_config('dci.changed_jobs', noted::text, true);
    return null;
end $$;
create trigger jobs_changed after update of state, team_id on jobs for each row
    when (old.team_id <> new.team_id or old.state <> new.state) execute function note_changed_job();

-- It runs after the triggers of all rows. A statement that is undone takes back what was noted with it.
create function count_changed_jobs() returns trigger language plpgsql as $$
declare
    noted text := current_setting('dci.changed_jobs', true);
begin
    if noted <> '' then
        perform set_config('dci.changed_jobs', '', true);
        insert into jobs_totals as t (team_id, state, slot, total)
        select split_part(key, ' ', 1)::uuid, split_part(key, ' ', 2), pg_backend_pid() % 16, value::bigint
        from jsonb_each_text(noted::jsonb) where value <> '0' order by 1, 2
        on conflict (team_id, state, slot) do update set total = t.total + excluded.total;
    end if;
    return null;
end $$;
create trigger jobs_changes_counted after update of state, team_id on jobs
    for each statement execute function count_changed_jobs();
