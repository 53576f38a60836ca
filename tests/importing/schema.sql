-- SPDX-License-Identifier: Apache-2.0
-- An existing control server's tables, as the contract's data model describes them: defaults that the application sets
-- are not here, so whatever is nullable can be null.
create type states as enum ('active', 'inactive', 'archived');
create type statuses as enum ('new', 'pre-run', 'running', 'post-run', 'success', 'failure', 'killed', 'error');
create type final_statuses as enum ('success', 'failure', 'error');

create table alembic_version (version_num varchar(32) primary key);
insert into alembic_version values ('4f2c1d7e8b90');

create table users (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null unique,
    fullname varchar(255) not null,
    email varchar(255) unique,
    sso_username varchar(255) unique,
    sso_sub varchar(255) unique,
    password text,
    timezone varchar(255) not null,
    state states
);

create table teams (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null constraint teams_name_key unique,
    country varchar(255),
    external boolean,
    has_pre_release_access boolean not null default false,
    state states
);

create table users_teams (
    user_id uuid not null references users on delete cascade,
    team_id uuid references teams on delete cascade,
    constraint users_teams_key unique (user_id, team_id)
);

create table teams_components_access (
    team_id uuid references teams on delete cascade,
    access_team_id uuid references teams on delete cascade,
    primary key (team_id, access_team_id)
);

create table products (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null,
    label varchar(255) not null unique,
    description text,
    state states
);

create table products_teams (
    product_id uuid references products on delete cascade,
    team_id uuid references teams on delete cascade,
    primary key (product_id, team_id)
);

create table topics (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null unique,
    component_types json,
    component_types_optional json,
    product_id uuid references products,
    next_topic_id uuid references topics,
    export_control boolean not null default false,
    state states,
    data json
);
create index topics_product_id_idx on topics (product_id);
create index topics_next_topic_id_idx on topics (next_topic_id);

create table users_topics (
    user_id uuid references users on delete cascade,
    topic_id uuid references topics on delete cascade,
    primary key (user_id, topic_id)
);

create table remotecis (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255),
    data json,
    api_secret varchar(64),
    team_id uuid not null references teams on delete cascade,
    public boolean,
    state states,
    constraint remotecis_name_team_id_key unique (name, team_id)
);
create index remotecis_team_id_idx on remotecis (team_id);

create table user_remotecis (
    user_id uuid references users on delete cascade,
    remoteci_id uuid references remotecis on delete cascade,
    primary key (user_id, remoteci_id)
);

create table feeders (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null,
    data json,
    api_secret varchar(64),
    team_id uuid not null references teams on delete cascade,
    state states,
    constraint feeders_name_team_id_key unique (name, team_id)
);
create index feeders_team_id_idx on feeders (team_id);

create table logs (
    id uuid primary key,
    created_at timestamp not null,
    user_id uuid not null,
    action text not null
);
create index logs_user_id_idx on logs (user_id);

create table components (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null,
    type varchar(255) not null,
    display_name varchar not null default '',
    version varchar not null default '',
    uid varchar not null default '',
    canonical_project_name varchar,
    title text,
    message text,
    url text,
    released_at timestamp not null,
    data json,
    tags text[],
    topic_id uuid references topics on delete cascade,
    team_id uuid references teams on delete cascade,
    state states
);
create index components_topic_id_idx on components (topic_id);
create unique index active_display_name_topic_id_type_version_team_id_null_key
    on components (display_name, topic_id, type, version) where state = 'active' and team_id is null;
create unique index active_display_name_topic_id_type_version_team_id_not_null_key
    on components (display_name, topic_id, type, version, team_id) where state = 'active' and team_id is not null;

create table component_files (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null,
    mime varchar,
    md5 varchar(32),
    size bigint,
    component_id uuid references components on delete cascade,
    state states
);
create index component_files_component_id_idx on component_files (component_id);

create table pipelines (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null,
    team_id uuid not null references teams on delete cascade,
    state states
);

create table jobs (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    duration integer,
    comment text not null default '',
    status_reason text not null default '',
    configuration text not null default '',
    url text not null default '',
    name text not null default '',
    user_agent varchar(255) not null default '',
    client_version varchar(255) not null default '',
    status statuses,
    topic_id uuid references topics on delete cascade,
    remoteci_id uuid not null references remotecis on delete cascade,
    team_id uuid not null references teams on delete cascade,
    product_id uuid references products on delete cascade,
    pipeline_id uuid references pipelines on delete cascade,
    previous_job_id uuid references jobs,
    update_previous_job_id uuid references jobs,
    state states,
    tags text[],
    data json
);
create index jobs_topic_id_idx on jobs (topic_id);
create index jobs_remoteci_id_idx on jobs (remoteci_id);
create index jobs_team_id_idx on jobs (team_id);
create index jobs_product_id_idx on jobs (product_id);
create index jobs_previous_job_id_idx on jobs (previous_job_id);
create index jobs_update_previous_job_id_idx on jobs (update_previous_job_id);
create index jobs_created_at_idx on jobs (created_at);

create table jobs_components (
    job_id uuid not null references jobs on delete cascade,
    component_id uuid not null references components on delete cascade,
    primary key (job_id, component_id)
);

-- As databases built by the migrations have it; `(job_id, key)` where the models built them.
create table jobs_keys_values (
    job_id uuid not null references jobs on delete cascade,
    key varchar(255) not null,
    value double precision not null,
    primary key (key, value, job_id)
);
create index jobs_keys_values_key_idx on jobs_keys_values (key);
create index jobs_keys_values_job_id_idx on jobs_keys_values (job_id);

create table jobstates (
    id uuid primary key,
    created_at timestamp not null,
    status statuses not null,
    comment text,
    job_id uuid not null references jobs on delete cascade
);
create index jobstates_job_id_idx on jobstates (job_id);

create table files (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    name varchar(255) not null,
    mime varchar,
    md5 varchar(32),
    size bigint,
    state states,
    jobstate_id uuid references jobstates on delete cascade,
    team_id uuid not null references teams on delete cascade,
    job_id uuid references jobs on delete cascade
);
create index files_jobstate_id_idx on files (jobstate_id);
create index files_team_id_idx on files (team_id);
create index files_job_id_idx on files (job_id);

create table tests_results (
    id uuid primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    name varchar(255) not null,
    total integer,
    success integer,
    skips integer,
    failures integer,
    errors integer,
    regressions integer,
    successfixes integer,
    time integer,
    job_id uuid not null references jobs on delete cascade,
    file_id uuid not null references files on delete cascade
);
create index tests_results_job_id_idx on tests_results (job_id);
create index tests_results_file_id_idx on tests_results (file_id);

create table jobs_events (
    id serial primary key,
    created_at timestamp not null,
    job_id uuid not null,
    topic_id uuid not null,
    status final_statuses
);
create index jobs_events_job_id_idx on jobs_events (job_id);

create table counter (
    name varchar(255) primary key,
    created_at timestamp not null,
    updated_at timestamp not null,
    etag varchar(40) not null,
    sequence integer
);
insert into counter values ('jobs_events', '2020-01-01', '2020-01-01', 'a', 1);
