-- SPDX-License-Identifier: Apache-2.0
-- What happened, as rows. Triggers write an event in the transaction of its cause, so that no writer can forget it and none
-- is told that did not happen. An event waits without an id in `events_outbox` until its transaction is committed; a
-- server process then numbers what waits (`number_events`), so that ids are in the order in which events became visible:
-- who has seen n never finds a smaller one later.

create table events_outbox (
    position bigint generated always as identity primary key,
    created_at timestamp not null default utc_now(),
    type text not null,
    subject_kind text not null,
    subject_id uuid not null,
    team_id uuid,
    topic_id uuid,
    remoteci_id uuid,
    job_id uuid,
    actor_id uuid,
    data jsonb not null default '{}'
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- By the week in which they were numbered: `numbered_at` rises with `id`. A week that is old enough goes as a whole.
create table events (
    id bigint not null,
    numbered_at timestamp not null,
    created_at timestamp not null,
    type text not null,
    subject_kind text not null,
    subject_id uuid not null,
    team_id uuid,
    topic_id uuid,
    remoteci_id uuid,
    job_id uuid,
    actor_id uuid,
    data jsonb not null,
    primary key (id, numbered_at)
) partition by range (numbered_at);
create index events_job_id_idx on events (job_id, id) where job_id is not null;

create table events_numbering (
    is_only boolean primary key default true check (is_only),
    last_id bigint not null default 0,
    last_at timestamp not null default utc_now()
) with (fillfactor = 10);
insert into events_numbering default values;

-- This week's partition and the next ones. Attached, because a partition that is created in place locks out readers.
create function make_event_partitions() returns void language plpgsql as $$
declare
    week timestamp;
    partition text;
begin
    perform pg_advisory_xact_lock(4025061127);
    for week in select date_trunc('week', utc_now()) + n * interval '7 days' from generate_series(0, 2) as n loop
        partition := 'events_' || to_char(week, 'YYYYMMDD');
        if to_regclass(partition) is null then
            execute format('create table %I (like events including all)', partition);
            execute format('alter table events attach partition %I for values from (%L) to (%L)',
                           partition, week, week + interval '7 days');
        end if;
    end loop;
end $$;
select make_event_partitions();

-- How many weeks were dropped: those that ended before the moment.
create function drop_event_partitions(ended_before timestamp) returns integer language plpgsql as $$
declare
    partition text;
    dropped integer := 0;
begin
    perform pg_advisory_xact_lock(4025061127);
    for partition in
        select relname from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'events'::regclass
              and to_date(right(relname, 8), 'YYYYMMDD') + interval '7 days' <= ended_before
    loop
        execute format('drop table %I', partition);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;

-- Moves up to `most` events that are committed out of the outbox, gives them the next ids, and wakes those who listen once.
-- One process at a time: another gets null at once, or waits for its turn. Each statement sees what was committed before
-- it, the lock included, so nothing is overtaken by what came after it.
create function number_events(most integer, is_patient boolean) returns bigint language plpgsql as $$
declare
    moved bigint;
    last events_numbering;
begin
    if is_patient then
        perform pg_advisory_xact_lock(4025061126);
    elsif not pg_try_advisory_xact_lock(4025061126) then
        return null;
    end if;
    if not exists (select from events_outbox) then
        return 0;
    end if;
    select * into last from events_numbering;
    last.last_at := greatest(last.last_at, clock_timestamp() at time zone 'UTC');
    with taken as (
        delete from events_outbox where position in (select position from events_outbox order by position limit most)
        returning *
    )
    insert into events (id, numbered_at, created_at, type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id,
                        actor_id, data)
    select last.last_id + row_number() over (order by position), last.last_at, created_at, type, subject_kind, subject_id,
           team_id, topic_id, remoteci_id, job_id, actor_id, data
    from taken;
    get diagnostics moved = row_count;
    update events_numbering set last_id = last.last_id + moved, last_at = last.last_at;
    perform pg_notify('events', (last.last_id + moved)::text);
    return moved;
end $$;

-- Who did it, when the statement says so: `set_config('dci.actor', <id>, true)`, which lasts until its transaction ends.
create function current_actor() returns uuid language sql stable as $$
    select nullif(current_setting('dci.actor', true), '')::uuid
$$;

-- Whoever brings rows over that are history, and no news, sets `dci.events` to `off`.
create function are_events_on() returns boolean language sql stable as $$
    select current_setting('dci.events', true) is distinct from 'off'
$$;

-- The names of the columns that differ; never their values.
create function changed_columns(before jsonb, after jsonb) returns jsonb language sql immutable as $$
    select coalesce(jsonb_agg(key order by key), '[]')
    from jsonb_each(after) join jsonb_each(before) as old using (key)
    where jsonb_each.value is distinct from old.value and key not in ('etag', 'updated_at', 'last_auth_at')
$$;

-- Jobs ----------------------------------------------------------------------------------------------------------------

create function tell_new_job() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id, actor_id, data)
    values ('job_created', 'job', new.id, new.team_id, new.topic_id, new.remoteci_id, new.id, current_actor(),
            jsonb_build_object('status', new.status, 'state', new.state, 'name', left(new.name, 255),
                               'pipeline_id', new.pipeline_id, 'previous_job_id', new.previous_job_id));
    return null;
end $$;
create trigger jobs_tell_new after insert on jobs for each row when (are_events_on()) execute function tell_new_job();

-- The first half of the etag tells a changed field from an upload or a jobstate.
create function tell_changed_job() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id, actor_id, data)
    values (case when new.state = 'archived' and old.state <> 'archived' then 'job_archived' else 'job_updated' end,
            'job', new.id, new.team_id, new.topic_id, new.remoteci_id, new.id, current_actor(),
            jsonb_build_object('status', new.status, 'state', new.state, 'name', left(new.name, 255),
                               'changed', changed_columns(to_jsonb(old), to_jsonb(new))));
    return null;
end $$;
create trigger jobs_tell_changed after update on jobs for each row
    when (left(old.etag, 16) <> left(new.etag, 16) and are_events_on()) execute function tell_changed_job();

-- At the end of the transaction, after the jobstate that finished it. A job that ended may end again: by a jobstate only
-- after it went on, by a change of its status always. `jobstate_status` is what the jobstate says: `error` for a failure
-- before the job ran.
create function tell_finished_job() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id, actor_id, data)
    values ('job_finished', 'job', new.id, new.team_id, new.topic_id, new.remoteci_id, new.id, current_actor(),
            jsonb_build_object(
                'status', new.status, 'name', left(new.name, 255), 'duration', new.duration,
                'jobstate_status', case when left(old.etag, 16) = left(new.etag, 16) and old.status in ('new', 'pre-run')
                                             and new.status = 'failure' then 'error' else new.status end,
                'results', (select jsonb_build_object(
                                'total', coalesce(sum(total), 0), 'success', coalesce(sum(success), 0),
                                'skips', coalesce(sum(skips), 0), 'failures', coalesce(sum(failures), 0),
                                'errors', coalesce(sum(errors), 0), 'regressions', coalesce(sum(regressions), 0),
                                'successfixes', coalesce(sum(successfixes), 0))
                            from tests_results where tests_results.job_id = new.id)));
    return null;
end $$;
create constraint trigger jobs_tell_finished after update on jobs deferrable initially deferred for each row
    when (old.status <> new.status and new.status in ('success', 'failure', 'error')
          and (old.status not in ('success', 'failure', 'error') or left(old.etag, 16) <> left(new.etag, 16))
          and are_events_on())
    execute function tell_finished_job();

create function tell_jobstate() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id, actor_id, data)
    select 'job_state_changed', 'job', jobs.id, jobs.team_id, jobs.topic_id, jobs.remoteci_id, jobs.id, current_actor(),
           jsonb_build_object('jobstate_id', new.id, 'jobstate_status', new.status, 'status', jobs.status,
                              'comment', left(new.comment, 500))
    from jobs where jobs.id = new.job_id;
    return null;
end $$;
create trigger jobstates_tell after insert on jobstates for each row when (are_events_on()) execute function tell_jobstate();

create function tell_file() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id, actor_id, data)
    select 'file_uploaded', 'file', new.id, jobs.team_id, jobs.topic_id, jobs.remoteci_id, jobs.id, current_actor(),
           jsonb_build_object('name', new.name, 'mime', left(new.mime, 255), 'size', new.size,
                              'jobstate_id', new.jobstate_id)
    from jobs where jobs.id = new.job_id;
    return null;
end $$;
create trigger files_tell after insert on files for each row when (are_events_on()) execute function tell_file();

-- At the end of the transaction, when whatever counts further has counted.
create function tell_result() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, job_id, actor_id, data)
    select 'results_stored', 'file', result.file_id, jobs.team_id, jobs.topic_id, jobs.remoteci_id, jobs.id, current_actor(),
           jsonb_build_object('name', left(result.name, 255), 'total', result.total, 'success', result.success,
                              'skips', result.skips, 'failures', result.failures, 'errors', result.errors,
                              'regressions', result.regressions, 'successfixes', result.successfixes, 'time', result.time)
    from tests_results as result join jobs on jobs.id = result.job_id where result.id = new.id;
    return null;
end $$;
create constraint trigger tests_results_tell after insert on tests_results deferrable initially deferred for each row
    when (are_events_on()) execute function tell_result();

-- The catalogue, teams, laboratories --------------------------------------------------------------------------------------

create function tell_component() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, actor_id, data)
    values (case when tg_op = 'INSERT' then 'component_created'
                 when new.state = 'active' and old.state <> 'active' then 'component_activated'
                 else 'component_updated' end,
            'component', new.id, new.team_id, new.topic_id, current_actor(),
            jsonb_build_object('name', new.name, 'display_name', left(new.display_name, 255), 'type', new.type,
                               'version', left(new.version, 255), 'state', new.state)
            || case when tg_op = 'INSERT' then '{}'
                    else jsonb_build_object('changed', changed_columns(to_jsonb(old), to_jsonb(new))) end);
    return null;
end $$;
create trigger components_tell_new after insert on components for each row when (are_events_on())
    execute function tell_component();
create trigger components_tell_changed after update on components for each row
    when (old.etag <> new.etag and are_events_on()) execute function tell_component();

-- One function for what differs in its kind only. A change of nothing but the etag is none: a rotated secret says so itself.
create function tell_change() returns trigger language plpgsql as $$
declare
    kind text := tg_argv[0];
    after jsonb := to_jsonb(new);
    changed jsonb := '[]';
begin
    if tg_op = 'UPDATE' then
        changed := changed_columns(to_jsonb(old), after);
        if changed = '[]' then
            return null;
        end if;
    end if;
    insert into events_outbox (type, subject_kind, subject_id, team_id, topic_id, remoteci_id, actor_id, data)
    values (kind || '_changed', kind, new.id,
            case kind when 'team' then new.id when 'remoteci' then (after ->> 'team_id')::uuid end,
            case kind when 'topic' then new.id end, case kind when 'remoteci' then new.id end, current_actor(),
            jsonb_build_object('name', new.name, 'state', new.state, 'is_new', tg_op = 'INSERT', 'changed', changed));
    return null;
end $$;
create trigger topics_tell_new after insert on topics for each row when (are_events_on())
    execute function tell_change('topic');
create trigger topics_tell_changed after update on topics for each row
    when (old.etag <> new.etag and are_events_on()) execute function tell_change('topic');
create trigger teams_tell_new after insert on teams for each row when (are_events_on())
    execute function tell_change('team');
create trigger teams_tell_changed after update on teams for each row
    when (old.etag <> new.etag and are_events_on()) execute function tell_change('team');
create trigger remotecis_tell_new after insert on remotecis for each row when (are_events_on())
    execute function tell_change('remoteci');
create trigger remotecis_tell_changed after update on remotecis for each row
    when (old.etag <> new.etag and are_events_on()) execute function tell_change('remoteci');

-- The first secret comes with its owner, in one transaction: that is no rotation.
create function tell_secret() returns trigger language plpgsql as $$
begin
    insert into events_outbox (type, subject_kind, subject_id, team_id, remoteci_id, actor_id, data)
    select 'secret_rotated', owner.kind, owner.id, owner.team_id, new.remoteci_id, current_actor(),
           jsonb_build_object('name', owner.name, 'expires_at', new.expires_at)
    from (select 'remoteci' as kind, id, name, team_id, created_at from remotecis where id = new.remoteci_id
          union all
          select 'feeder', id, name, team_id, created_at from feeders where id = new.feeder_id) as owner
    where owner.created_at <> new.created_at;
    return null;
end $$;
create trigger client_secrets_tell after insert on client_secrets for each row when (are_events_on())
    execute function tell_secret();
