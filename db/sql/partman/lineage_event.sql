-- How pg_partman keeps ops.lineage_event: a month a partition, four made ahead also where nothing is loaded.
-- ops.maintain_lineage() says how far back retention reaches.
UPDATE partman.part_config
SET
    premake = 4,
    retention = NULL,
    infinite_time_partitions = true,
    inherit_privileges = false
WHERE parent_table = 'ops.lineage_event';
