-- SPDX-License-Identifier: Apache-2.0
-- Laboratories that are listened for: when to look next, and since which job a laboratory is silent. A silence that began
-- before somebody listened is not told.
create table remotecis_watched (
    remoteci_id uuid primary key references remotecis on delete cascade,
    created_at timestamp not null default utc_now(),
    look_at timestamp not null default utc_now(),
    silent_since timestamp,
    is_told boolean not null default false
);
create index remotecis_watched_look_at_idx on remotecis_watched (look_at);
