-- SPDX-License-Identifier: Apache-2.0
-- What the whole resource model needs beside the tables of a run.

-- Secrets of remotecis and feeders: several may be valid at once, so that a new one can be rolled out before the old one
-- ends. Each is encrypted with a key that is not in the database; its owner's id is bound into it.
create table client_secrets (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    remoteci_id uuid references remotecis on delete cascade,
    feeder_id uuid references feeders on delete cascade,
    sealed_secret bytea not null,
    expires_at timestamp,
    last_used_at timestamp,
    constraint client_secrets_owner check (num_nonnulls(remoteci_id, feeder_id) = 1)
);
create index client_secrets_remoteci_id_idx on client_secrets (remoteci_id) where remoteci_id is not null;
create index client_secrets_feeder_id_idx on client_secrets (feeder_id) where feeder_id is not null;
insert into client_secrets (created_at, remoteci_id, sealed_secret) select created_at, id, sealed_secret from remotecis;
insert into client_secrets (created_at, feeder_id, sealed_secret) select created_at, id, sealed_secret from feeders;
alter table remotecis drop column sealed_secret;
alter table feeders drop column sealed_secret;

-- When somebody was last seen; written now and then, never by the request itself.
alter table users add column last_auth_at timestamp;
alter table remotecis add column last_auth_at timestamp;
alter table feeders add column last_auth_at timestamp;

-- Failed logins, per account and per address; losing them in a crash does no harm.
create unlogged table login_failures (
    subject text primary key,
    failures integer not null,
    last_at timestamp not null
);

-- Subscriptions to new components of a topic.
create table users_topics (
    user_id uuid not null references users on delete cascade,
    topic_id uuid not null references topics on delete cascade,
    primary key (user_id, topic_id)
);
create index users_topics_topic_id_idx on users_topics (topic_id);

-- Who did what: `user_id` is of a user, a remoteci or a feeder, and stays when that is gone.
create table audits (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    user_id uuid not null,
    action text not null
);
create index audits_created_at_idx on audits (created_at desc, id desc);
create index audits_user_id_idx on audits (user_id);

-- The bytes are in the store under `key`, which does not follow when the component moves to another topic.
create table component_files (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    mime text,
    md5 text,
    sha256 text,
    size bigint not null,
    key text not null,
    component_id uuid not null constraint component_files_component_id_fkey references components on delete cascade,
    state text not null default 'active' check (state in ('active', 'inactive', 'archived'))
);
create index component_files_component_id_idx on component_files (component_id, created_at, id);

-- What is archived waits here for a purge.
create index teams_archived_idx on teams (id) where state = 'archived';
create index users_archived_idx on users (id) where state = 'archived';
create index products_archived_idx on products (id) where state = 'archived';
create index topics_archived_idx on topics (id) where state = 'archived';
create index components_archived_idx on components (id) where state = 'archived';
create index remotecis_archived_idx on remotecis (id) where state = 'archived';
create index feeders_archived_idx on feeders (id) where state = 'archived';

create index users_created_at_idx on users (created_at desc, id desc);
create index products_created_at_idx on products (created_at desc, id desc);
create index topics_created_at_idx on topics (created_at desc, id desc);
create index components_released_at_idx on components (released_at desc, id desc);
create index components_created_at_idx on components (created_at desc, id desc);
create index remotecis_created_at_idx on remotecis (created_at desc, id desc);
create index feeders_created_at_idx on feeders (created_at desc, id desc);

-- Only what an identity is made of makes it forgotten: not when somebody was last seen.
drop trigger users_forget on users;
drop trigger remotecis_forget on remotecis;
drop trigger feeders_forget on feeders;
create trigger users_forget after delete or update of name, fullname, email, sso_username, sso_sub, password_hash, timezone,
    state, etag on users for each statement execute function forget_identities();
create trigger remotecis_forget after delete or update of team_id, state on remotecis
    for each statement execute function forget_identities();
create trigger feeders_forget after delete or update of team_id, state on feeders
    for each statement execute function forget_identities();
create trigger client_secrets_forget after insert or delete or update of sealed_secret, expires_at on client_secrets
    for each statement execute function forget_identities();
