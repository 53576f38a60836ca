-- SPDX-License-Identifier: Apache-2.0
-- Who reads the log of events and how far it is, and the mail that follows from it: one per event and person.

create table event_consumers (
    name text primary key,
    last_id bigint not null
);
-- What happened before there was anybody to tell is no news.
insert into event_consumers (name, last_id) select 'notifications', last_id from events_numbering;

create table mails (
    id uuid primary key default new_id(),
    created_at timestamp not null default utc_now(),
    event_id bigint not null,
    user_id uuid not null references users on delete cascade,
    email text not null,
    kind text not null check (kind in ('job', 'component', 'webhook_disabled')),
    facts jsonb not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'failed')),
    attempts integer not null default 0,
    next_attempt_at timestamp not null default utc_now(),
    give_up_at timestamp not null default utc_now() + interval '24 hours',
    error text
);
create unique index mails_event_key on mails (event_id, user_id);
create index mails_due_idx on mails (next_attempt_at) where state = 'waiting';
create index mails_age_idx on mails (created_at);
create index mails_user_id_idx on mails (user_id);
