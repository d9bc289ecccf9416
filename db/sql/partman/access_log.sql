-- How pg_partman keeps audit.access_log: a month a partition, four made ahead also where nothing is logged.
-- It has no retention of its own: audit.maintain() must leave an anchor before a partition goes.
UPDATE partman.part_config
SET
    premake = 4,
    retention = NULL,
    infinite_time_partitions = true,
    inherit_privileges = false
WHERE parent_table = 'audit.access_log';
SELECT audit._guard_partitions();
