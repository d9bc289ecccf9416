-- How pg_partman keeps bronze.customer: a thousand batches a partition, four made ahead, and a partition that
-- has expired is dropped and not merely detached. ops.maintain() sets how far back retention reaches, because
-- pg_partman counts it in batches and we count it in days.
UPDATE partman.part_config
SET
    premake = 4,
    retention_keep_table = false,
    retention_keep_index = false,
    inherit_privileges = true
WHERE parent_table = 'bronze.customer';
