-- SPDX-License-Identifier: Apache-2.0
-- What a call was about, which the path of one that creates something does not say; and whose proof was not accepted:
-- who calls is not known then, but who was to be guessed is.
alter table audits
    add column subject_id uuid,
    add column claimed_id uuid;
create index audits_subject_id_idx on audits (subject_id) where subject_id is not null;
