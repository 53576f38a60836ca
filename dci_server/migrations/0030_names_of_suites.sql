-- SPDX-License-Identifier: Apache-2.0
-- A suite's name is stored once for each report, in tests_suites, and not once more with each different case.
alter table test_names drop column suite;

-- Names are cut at 2,048 characters, as the parser does from now on (`junit.shortened`).
create function shortened(name text) returns text language sql immutable parallel safe
    return case when length(name) <= 2048 then name
                else left(name, 2015) || '…' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 32) end;
update test_names set name = shortened(name), classname = shortened(classname)
where octet_length(name) > 2048 or octet_length(classname) > 2048;
update tests_suites set name = shortened(name) where octet_length(name) > 2048;
drop function shortened;
