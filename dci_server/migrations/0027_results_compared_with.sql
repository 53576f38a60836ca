-- SPDX-License-Identifier: Apache-2.0
-- A report that gets new content: the results that were compared with it are found by its number.

create index tests_results_previous_number_idx on tests_results (previous_number) where previous_number is not null;
