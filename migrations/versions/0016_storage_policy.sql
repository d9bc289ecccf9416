SET LOCAL ROLE telestream_owner;

CREATE TABLE ops.storage_policy (
    table_name text PRIMARY KEY,
    data_class text NOT NULL CHECK (data_class IN ('fact', 'rollup')),
    compress_after interval CHECK (compress_after > interval '0'),
    segment_by text[] NOT NULL DEFAULT '{}',
    order_by text NOT NULL,
    max_index_ratio numeric NOT NULL DEFAULT 1 CHECK (max_index_ratio > 0),
    reason text NOT NULL CHECK (reason <> '')
);
COMMENT ON TABLE ops.storage_policy IS
'How each hypertable is stored; in force after telestream storage apply, on the community edition only';
COMMENT ON COLUMN ops.storage_policy.table_name IS
'silver.<fact>, or rollup.<rollup> without its version';
COMMENT ON COLUMN ops.storage_policy.data_class IS 'fact or rollup';
COMMENT ON COLUMN ops.storage_policy.compress_after IS
'A chunk that ended longer ago is compressed; null: never, as all rollups';
COMMENT ON COLUMN ops.storage_policy.segment_by IS 'Columns whose values rows are grouped by; mostly none';
COMMENT ON COLUMN ops.storage_policy.order_by IS 'Order of the rows in a compressed chunk, as in ORDER BY';
COMMENT ON COLUMN ops.storage_policy.max_index_ratio IS
'telestream doctor warns where the indexes of uncompressed chunks are larger than so many times their rows';
COMMENT ON COLUMN ops.storage_policy.reason IS 'Why so, for people';

INSERT INTO ops.storage_policy
(table_name, data_class, compress_after, segment_by, order_by, max_index_ratio, reason)
VALUES
(
    'silver.fact_cdr', 'fact', '7 days', '{}', 'started_at', 1,
    'files may come a week late; ordered by time, since refreshes, late rows and the archive read by time'
),
(
    'silver.fact_network_event', 'fact', '2 days', '{}', 'event_at', 1,
    'events come within minutes; what is later is rare'
),
('rollup.cell_traffic_5m', 'rollup', NULL, '{}', 'bucket', 2, 'a refresh writes buckets anew'),
('rollup.cell_traffic_1h', 'rollup', NULL, '{}', 'bucket', 2, 'small'),
('rollup.cell_traffic_1d', 'rollup', NULL, '{}', 'bucket', 2, 'small'),
('rollup.customer_usage_1d', 'rollup', NULL, '{}', 'bucket', 2, 'a refresh writes buckets anew'),
('rollup.revenue_1d', 'rollup', NULL, '{}', 'bucket', 4, 'small'),
('rollup.network_5m', 'rollup', NULL, '{}', 'bucket', 2, 'each batch of events adds to its rows'),
('rollup.network_1h', 'rollup', NULL, '{}', 'bucket', 2, 'small'),
('rollup.region_traffic_1h', 'rollup', NULL, '{}', 'bucket', 2, 'small'),
('rollup.region_traffic_1d', 'rollup', NULL, '{}', 'bucket', 2, 'small'),
(
    'rollup.customer_total_1d', 'rollup', NULL, '{}', 'bucket', 6,
    'an index per ranking is what it is for'
);

INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'ops' AS schema_name,
    'storage_policy' AS table_name,
    u.column_name,
    'none' AS pii_class
FROM unnest(ARRAY[
    'table_name', 'data_class', 'compress_after', 'segment_by', 'order_by', 'max_index_ratio', 'reason'
]) AS u (column_name);

RESET ROLE;
