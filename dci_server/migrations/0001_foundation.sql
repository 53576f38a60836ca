-- SPDX-License-Identifier: Apache-2.0
-- Every time is UTC without a zone; every etag is 32 hex digits. A job's etag has two halves of 16: the first changes with
-- a field of the job, the second with everything that hangs on it, so that an upload does not make a tag writer lose.

create function new_etag() returns text language sql volatile parallel safe
    return replace(gen_random_uuid()::text, '-', '');

create function utc_now() returns timestamp language sql stable parallel safe
    return now() at time zone 'UTC';

-- Accounts ------------------------------------------------------------------------------------------------------------

create table teams (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null constraint teams_name_key unique check (length(name) <= 255),
    country text check (length(country) <= 255),
    external boolean not null default false,
    has_pre_release_access boolean not null default false,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived')),
    -- The three teams that carry a role, bound by row and not by name.
    role text constraint teams_role_key unique check (role in ('super_admin', 'read_only', 'epm'))
);
create index teams_created_at_idx on teams (created_at desc, id desc);

create table users (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null constraint users_name_key unique check (length(name) <= 255),
    fullname text not null check (length(fullname) <= 255),
    email text constraint users_email_key unique check (length(email) <= 255),
    sso_username text constraint users_sso_username_key unique check (length(sso_username) <= 255),
    sso_sub text constraint users_sso_sub_key unique check (length(sso_sub) <= 255),
    password_hash text,
    timezone text not null default 'UTC' check (length(timezone) <= 255),
    state text not null default 'active' check (state in ('active', 'inactive', 'archived'))
);

create table users_teams (
    user_id uuid not null references users on delete cascade,
    team_id uuid not null references teams on delete cascade,
    primary key (user_id, team_id)
);
create index users_teams_team_id_idx on users_teams (team_id);

create table teams_components_access (
    team_id uuid not null references teams on delete cascade,
    access_team_id uuid not null references teams on delete cascade,
    primary key (team_id, access_team_id)
);
create index teams_components_access_access_team_id_idx on teams_components_access (access_team_id);

-- What is tested ------------------------------------------------------------------------------------------------------

create table products (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    label text not null constraint products_label_key unique check (length(label) <= 255),
    description text,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived'))
);

create table products_teams (
    product_id uuid not null references products on delete cascade,
    team_id uuid not null references teams on delete cascade,
    primary key (product_id, team_id)
);
create index products_teams_team_id_idx on products_teams (team_id);

create table topics (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null constraint topics_name_key unique check (length(name) <= 255),
    product_id uuid not null constraint topics_product_id_fkey references products,
    next_topic_id uuid constraint topics_next_topic_id_fkey references topics,
    component_types text[] not null default '{}',
    component_types_optional json not null default '[]',
    export_control boolean not null default false,
    data json not null default '{}',
    state text not null default 'active' check (state in ('active', 'inactive', 'archived'))
);
create index topics_lower_name_idx on topics (lower(name));
create index topics_product_id_idx on topics (product_id);
create index topics_next_topic_id_idx on topics (next_topic_id);

create table components (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    released_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    type text not null check (length(type) <= 255),
    display_name text not null default '',
    version text not null default '',
    uid text not null default '',
    canonical_project_name text,
    title text,
    message text,
    url text,
    data json not null default '{}',
    tags text[] not null default '{}',
    topic_id uuid not null constraint components_topic_id_fkey references topics on delete cascade,
    team_id uuid constraint components_team_id_fkey references teams on delete cascade,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived'))
);
create unique index components_active_global_key
    on components (display_name, topic_id, type, version) where state = 'active' and team_id is null;
create unique index components_active_team_key
    on components (display_name, topic_id, type, version, team_id) where state = 'active' and team_id is not null;
-- The newest active global component of a type: what `schedule` looks for.
create index components_newest_idx on components (topic_id, type, created_at desc)
    where state = 'active' and team_id is null;
create index components_topic_id_released_at_idx on components (topic_id, released_at desc, id desc);
create index components_topic_id_created_at_idx on components (topic_id, created_at desc, id desc);
create index components_team_id_idx on components (team_id);
create index components_tags_idx on components using gin (tags);

-- Laboratories --------------------------------------------------------------------------------------------------------

create table remotecis (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    team_id uuid not null constraint remotecis_team_id_fkey references teams on delete cascade,
    data json not null default '{}',
    public boolean not null default false,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived')),
    -- Encrypted with a key that is not in the database; the remoteci's id is bound into it.
    sealed_secret bytea not null,
    constraint remotecis_name_team_id_key unique (name, team_id)
);
create index remotecis_team_id_idx on remotecis (team_id);

create table feeders (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    team_id uuid not null constraint feeders_team_id_fkey references teams on delete cascade,
    data json not null default '{}',
    state text not null default 'active' check (state in ('active', 'inactive', 'archived')),
    sealed_secret bytea not null,
    constraint feeders_name_team_id_key unique (name, team_id)
);
create index feeders_team_id_idx on feeders (team_id);

create table users_remotecis (
    user_id uuid not null references users on delete cascade,
    remoteci_id uuid not null references remotecis on delete cascade,
    primary key (user_id, remoteci_id)
);
create index users_remotecis_remoteci_id_idx on users_remotecis (remoteci_id);

create table pipelines (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    team_id uuid not null references teams on delete cascade,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived'))
);
create index pipelines_team_id_idx on pipelines (team_id);

-- Runs ----------------------------------------------------------------------------------------------------------------

-- `updated_at`, `etag`, `status` and `duration` change on every upload and state: none of them is indexed, and pages keep
-- room, so that these updates stay within the page (HOT).
create table jobs (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null default '',
    comment text not null default '',
    configuration text not null default '',
    status_reason text not null default '',
    url text not null default '',
    status text not null default 'new'
        check (status in ('new', 'pre-run', 'running', 'post-run', 'success', 'failure', 'killed', 'error')),
    state text not null default 'active' check (state in ('active', 'inactive', 'archived')),
    duration integer not null default 0,
    tags text[] not null default '{}',
    data json not null default '{}',
    topic_id uuid not null references topics on delete cascade,
    product_id uuid not null references products on delete cascade,
    remoteci_id uuid not null references remotecis on delete cascade,
    team_id uuid not null references teams on delete cascade,
    pipeline_id uuid references pipelines on delete cascade,
    previous_job_id uuid references jobs,
    update_previous_job_id uuid references jobs,
    user_agent text not null default '' check (length(user_agent) <= 255),
    client_version text not null default '' check (length(client_version) <= 255)
) with (fillfactor = 80);
create index jobs_created_at_idx on jobs (created_at desc, id desc);
create index jobs_team_id_idx on jobs (team_id, created_at desc, id desc);
create index jobs_topic_id_idx on jobs (topic_id, created_at desc, id desc);
create index jobs_remoteci_id_idx on jobs (remoteci_id, created_at desc, id desc);
create index jobs_product_id_idx on jobs (product_id);
create index jobs_pipeline_id_idx on jobs (pipeline_id) where pipeline_id is not null;
create index jobs_previous_job_id_idx on jobs (previous_job_id) where previous_job_id is not null;
create index jobs_update_previous_job_id_idx on jobs (update_previous_job_id) where update_previous_job_id is not null;
create index jobs_archived_idx on jobs (id) where state = 'archived';
create index jobs_tags_idx on jobs using gin (tags) with (fastupdate = off);

create table jobs_components (
    job_id uuid not null references jobs on delete cascade,
    component_id uuid not null references components on delete cascade,
    primary key (job_id, component_id)
);
create index jobs_components_component_id_idx on jobs_components (component_id, job_id);

create table jobs_keys_values (
    job_id uuid not null references jobs on delete cascade,
    key text not null check (length(key) <= 255),
    value double precision not null,
    primary key (job_id, key)
);

create table jobstates (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    status text not null
        check (status in ('new', 'pre-run', 'running', 'post-run', 'success', 'failure', 'killed', 'error')),
    comment text,
    job_id uuid not null references jobs on delete cascade
);
create index jobstates_job_id_idx on jobstates (job_id, created_at);

create table files (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null constraint files_name_length check (length(name) <= 255),
    mime text,
    md5 text,
    sha256 text not null,
    size bigint not null,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived')),
    job_id uuid not null references jobs on delete cascade,
    jobstate_id uuid references jobstates on delete set null,
    team_id uuid not null references teams on delete cascade
);
create index files_job_id_idx on files (job_id, created_at, id);
create index files_jobstate_id_idx on files (jobstate_id) where jobstate_id is not null;
create index files_team_id_idx on files (team_id);
create index files_archived_idx on files (id) where state = 'archived';

-- The bytes of a small file (at most 64 KiB), so that a task log is one durable statement; a bigger one is in the store
-- under `files/<team_id>/<job_id>/<id>` and has no row here.
create table files_contents (
    file_id uuid primary key references files on delete cascade,
    is_compressed boolean not null,
    bytes bytea storage external not null
);

create table tests_results (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    name text not null,
    total integer not null,
    success integer not null,
    skips integer not null,
    failures integer not null,
    errors integer not null,
    regressions integer not null default 0,
    successfixes integer not null default 0,
    time integer not null,
    job_id uuid not null references jobs on delete cascade,
    file_id uuid not null references files on delete cascade
);
create index tests_results_job_id_idx on tests_results (job_id, name);
create index tests_results_file_id_idx on tests_results (file_id);

-- How many jobs there are -----------------------------------------------------------------------------------------------

-- `_meta.count` of an unfiltered list is exact and costs a few rows: a running total per team, spread over sixteen slots
-- so that laboratories of one team do not wait for each other.
create table jobs_totals (
    team_id uuid not null references teams on delete cascade,
    slot integer not null,
    total bigint not null,
    primary key (team_id, slot)
) with (fillfactor = 50);

create function count_jobs(team uuid, difference bigint) returns void language sql as $$
    insert into jobs_totals as t (team_id, slot, total) values (team, pg_backend_pid() % 16, difference)
    on conflict (team_id, slot) do update set total = t.total + excluded.total
$$;

create function count_inserted_jobs() returns trigger language plpgsql as $$
begin
    perform count_jobs(team_id, n) from
        (select team_id, count(*) as n from inserted where state <> 'archived' group by team_id order by team_id) as added;
    return null;
end $$;
create trigger jobs_inserted after insert on jobs
    referencing new table as inserted for each statement execute function count_inserted_jobs();

create function count_deleted_jobs() returns trigger language plpgsql as $$
begin
    perform count_jobs(team_id, -n) from
        (select deleted.team_id, count(*) as n from deleted join teams on teams.id = deleted.team_id
         where deleted.state <> 'archived' group by deleted.team_id order by deleted.team_id) as gone;
    return null;
end $$;
create trigger jobs_deleted after delete on jobs
    referencing old table as deleted for each statement execute function count_deleted_jobs();

create function count_changed_job() returns trigger language plpgsql as $$
begin
    if old.state <> 'archived' then perform count_jobs(old.team_id, -1); end if;
    if new.state <> 'archived' then perform count_jobs(new.team_id, 1); end if;
    return null;
end $$;
create trigger jobs_changed after update of state, team_id on jobs for each row
    when (old.team_id <> new.team_id or (old.state = 'archived') <> (new.state = 'archived'))
    execute function count_changed_job();

-- Who is cached in the server processes must be forgotten when it changes, whoever changes it -----------------------------

create function forget_identities() returns trigger language plpgsql as $$
begin
    perform pg_notify('identities', '');
    return null;
end $$;
create trigger users_forget after update or delete on users for each statement execute function forget_identities();
create trigger teams_forget after update or delete on teams for each statement execute function forget_identities();
create trigger remotecis_forget after update or delete on remotecis for each statement execute function forget_identities();
create trigger feeders_forget after update or delete on feeders for each statement execute function forget_identities();
create trigger users_teams_forget after insert or update or delete on users_teams
    for each statement execute function forget_identities();
