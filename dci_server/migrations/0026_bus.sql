-- SPDX-License-Identifier: Apache-2.0
-- What is to be said on a message bus: that a job started, that it finished. The message is made when it is sent.

create table bus_messages (
    id uuid primary key default new_id(),
    created_at timestamp not null default utc_now(),
    event_id bigint not null constraint bus_messages_event_key unique,
    kind text not null check (kind in ('job_started', 'job_finished')),
    happened_at timestamp not null,
    job_id uuid not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'failed')),
    attempts integer not null default 0,
    next_attempt_at timestamp not null default utc_now(),
    give_up_at timestamp not null default utc_now() + interval '7 days',
    error text
);
create index bus_messages_due_idx on bus_messages (next_attempt_at) where state = 'waiting';
create index bus_messages_job_idx on bus_messages (job_id, event_id) where state = 'waiting';
create index bus_messages_age_idx on bus_messages (created_at);
