-- SPDX-License-Identifier: Apache-2.0
-- An audit says more than who and what: how it was asked for, from where, and what it was answered. Of a caller whom nobody
-- knows there is no id. Nothing is changed or taken away, but by age.
alter table audits alter column user_id drop not null;
alter table audits
    add column kind text,
    add column method text,
    add column path text,
    add column status integer,
    add column address text;

create function keep_audits() returns trigger language plpgsql as $$
begin
    if tg_op <> 'DELETE' or current_setting('dci.retention', true) is distinct from 'on' then
        raise exception 'audits are only added to';
    end if;
    return old;
end $$;
create trigger audits_keep before update or delete on audits for each row execute function keep_audits();
create trigger audits_keep_all before truncate on audits for each statement execute function keep_audits();
