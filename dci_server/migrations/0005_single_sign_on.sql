-- SPDX-License-Identifier: Apache-2.0
-- What a token of the single sign-on changes, and what it may take back.

-- Membership that a token gave ends with a token that no longer says so; one that a person gave stays.
alter table users_teams add column by_sso boolean not null default false;

-- When the token was issued whose claims were applied last: an older one changes nothing any more.
alter table users add column sso_claims_at timestamp;

-- Password hashes of another server, each replaced when its owner logs in.
create index users_imported_password_idx on users (id) where password_hash like '$5$%' or password_hash like '$6$%';
