-- SPDX-License-Identifier: Apache-2.0
-- A name that no case has any more is noted first and removed much later: a report that has just looked it up is given the
-- time in which reports become visible (`cases_to_remove`), twice.
alter table test_names add column unused_since timestamp;
create index test_names_unused_since_idx on test_names (unused_since) where unused_since is not null;

-- How far the walk through the names has come; whoever has the row walks.
create table test_names_walk (
    place bigint not null
);
insert into test_names_walk (place) values (0);
