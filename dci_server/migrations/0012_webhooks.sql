-- SPDX-License-Identifier: Apache-2.0
-- Addresses of others that are told of events, and what is to be sent to them. A delivery is a row from the moment its
-- event is fanned out; `next_attempt_at` is when it is due, and whoever takes it moves that into the future first, so that
-- it comes back when its taker dies. Until it is no longer `waiting`, nothing later about the same subject is sent.

create table webhooks (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default utc_now(),
    updated_at timestamp not null default utc_now(),
    etag text not null default new_etag(),
    name text not null check (length(name) <= 255),
    -- Of the whole hub when it has no team.
    team_id uuid constraint webhooks_team_id_fkey references teams on delete cascade,
    url text not null check (length(url) <= 2000),
    sealed_secret bytea not null,
    state text not null default 'active' check (state in ('active', 'inactive')),
    -- What it wants to hear of; an empty list narrows nothing.
    event_types text[] not null default '{}',
    topic_ids uuid[] not null default '{}',
    remoteci_ids uuid[] not null default '{}',
    statuses text[] not null default '{}',
    -- How it has been doing. `failures` are those since the last success; while there are several, it is tried at
    -- `retry_at` and not before.
    failures integer not null default 0,
    failing_since timestamp,
    retry_at timestamp,
    disabled_at timestamp,
    disabled_reason text
);
create index webhooks_team_id_idx on webhooks (team_id);
create index webhooks_created_at_idx on webhooks (created_at desc, id desc);

create table webhooks_deliveries (
    id uuid primary key default new_id(),
    created_at timestamp not null default utc_now(),
    webhook_id uuid not null references webhooks on delete cascade,
    -- Null for a ping.
    event_id bigint,
    type text not null,
    subject_id uuid not null,
    job_id uuid,
    body text not null,
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'failed')),
    attempts integer not null default 0,
    next_attempt_at timestamp not null default utc_now(),
    give_up_at timestamp not null default utc_now() + interval '24 hours',
    -- Of the last attempt.
    attempted_at timestamp,
    duration_ms integer,
    status integer,
    answer text,
    error text
);
create unique index webhooks_deliveries_event_key on webhooks_deliveries (webhook_id, event_id);
create index webhooks_deliveries_created_at_idx on webhooks_deliveries (webhook_id, created_at desc, id desc);
create index webhooks_deliveries_due_idx on webhooks_deliveries (webhook_id, next_attempt_at) where state = 'waiting';
create index webhooks_deliveries_order_idx on webhooks_deliveries (webhook_id, coalesce(job_id, subject_id), event_id)
    where state = 'waiting';
create index webhooks_deliveries_age_idx on webhooks_deliveries (created_at);
