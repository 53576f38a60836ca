-- SPDX-License-Identifier: Apache-2.0
-- An existing hub that was brought over: how far, and what was changed on the way. Written in the transactions that bring
-- the rows, so that a second run continues exactly where a killed one stopped.
create table imports (
    -- The id of the source's team `admin`: it tells one hub from another.
    source_id uuid primary key,
    began_at timestamp not null default utc_now(),
    rows_finished_at timestamp
);

create table import_steps (
    name text primary key,
    -- The key of the last row that was read; null at the beginning.
    position text[],
    rows_read bigint not null default 0,
    rows_written bigint not null default 0,
    finished_at timestamp
);

create table import_changes (
    step text not null,
    kind text not null check (kind in ('changed', 'skipped', 'added', 'noted')),
    reason text not null,
    total bigint not null,
    examples text[] not null,
    primary key (step, kind, reason)
);

-- Null as long as the bytes of an imported file have not been brought over.
alter table files alter column sha256 drop not null;
