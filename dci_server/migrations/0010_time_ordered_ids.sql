-- SPDX-License-Identifier: Apache-2.0
-- Ids that begin with the time (UUID version 7). Random ones put each new row on another page of each index, and the
-- first change of a page after a checkpoint logs all of it; these put rows that are made together beside each other.
-- Rows that are there keep their ids: nothing asks what version an id has.

-- Greater than those made in an earlier millisecond.
create function new_id() returns uuid language sql volatile parallel safe
    return overlay(gen_random_uuid()::text placing
        regexp_replace(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0'), '(.{8})(.{4})', '\1-\2-7')
        from 1 for 15)::uuid;

do $$ begin
    if current_setting('server_version_num')::integer >= 180000 then
        create or replace function new_id() returns uuid language sql volatile parallel safe return uuidv7();
    end if;
end $$;

alter table components alter column id set default new_id();
alter table component_files alter column id set default new_id();
alter table jobs alter column id set default new_id();
alter table jobstates alter column id set default new_id();
alter table files alter column id set default new_id();
alter table tests_results alter column id set default new_id();
alter table audits alter column id set default new_id();

-- An etag has to differ from the row's earlier ones and is no secret. `gen_random_uuid` asks the system each time, which
-- took as long as a good part of a small statement.
create or replace function new_etag() returns text language sql volatile parallel restricted
    return left(encode(sha256(float8send(random())), 'hex'), 32);
