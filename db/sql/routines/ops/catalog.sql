-- requires: ops/freshness.sql
-- One row per column of every layer. Columns of views and rollups, which come from columns of the same name,
-- have the class of those unless ops.pii_class says another; a masked view has the classes of its table.
CREATE OR REPLACE VIEW ops.catalog AS
WITH part AS (
    SELECT
        c.oid,
        c.oid AS whole,
        c.relkind,
        c.reltuples
    FROM pg_class AS c
    UNION ALL
    SELECT
        c.oid,
        i.inhparent AS whole,
        c.relkind,
        c.reltuples
    FROM pg_inherits AS i
    INNER JOIN pg_class AS c ON i.inhrelid = c.oid
),

relation AS (
    SELECT
        c.oid,
        n.nspname AS schema_name,
        c.relname AS table_name,
        c.relkind,
        c.relowner,
        CASE
            WHEN c.relkind = 'v' THEN NULL
            WHEN h.hypertable_name IS NOT NULL THEN public.approximate_row_count(c.oid)
            ELSE (
                SELECT coalesce(sum(greatest(p.reltuples, 0)), 0)::bigint FROM part AS p
                WHERE p.whole = c.oid AND p.relkind = 'r'
            )
        END AS rows_estimate,
        CASE
            WHEN c.relkind = 'v' THEN NULL
            WHEN h.hypertable_name IS NOT NULL THEN public.hypertable_size(c.oid)
            ELSE (
                SELECT sum(pg_total_relation_size(p.oid))::bigint FROM part AS p
                WHERE p.whole = c.oid
            )
        END AS bytes,
        CASE
            WHEN
                n.nspname IN ('gold', 'rollup') AND c.relname ~ '^(network_5m|network_1h|anomaly)'
                THEN 'network_event'
            WHEN n.nspname IN ('gold', 'rollup') THEN 'cdr'
            WHEN n.nspname = 'bronze' THEN c.relname
            WHEN n.nspname = 'silver' AND c.relname LIKE 'fact\_%' THEN substr(c.relname, 6)
        END AS dataset
    FROM pg_class AS c
    INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
    LEFT JOIN timescaledb_information.hypertables AS h
        ON n.nspname = h.hypertable_schema AND c.relname = h.hypertable_name
    WHERE
        c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
        AND n.nspname IN (
            'bronze', 'silver', 'rollup', 'gold', 'quality', 'vault', 'privacy', 'ops', 'analytics', 'api',
            'audit', 'masked_api', 'masked_analyst', 'masked_engineer'
        )
),

by_name AS (
    SELECT
        p.column_name,
        max(p.pii_class) AS pii_class
    FROM ops.pii_class AS p
    WHERE p.schema_name = 'silver' AND p.pii_class <> 'none'
    GROUP BY p.column_name
)

SELECT
    r.schema_name || '.' || r.table_name AS dataset,
    a.attname::text AS column_name,
    format_type(a.atttypid, a.atttypmod) AS data_type,
    coalesce(
        p.pii_class, CASE
            WHEN r.relkind = 'v' OR r.schema_name = 'rollup' THEN coalesce(b.pii_class, 'none')
            ELSE 'unclassified'
        END
    ) AS pii_class,
    pg_get_userbyid(r.relowner)::text AS owner,
    col_description(r.oid, a.attnum) AS description,
    CASE
        WHEN r.schema_name = 'audit' THEN (SELECT nullif(h.logged_at, 'epoch') FROM audit.chain_head AS h)
        ELSE f.last_loaded_at
    END AS last_change_at,
    r.rows_estimate,
    r.bytes,
    a.attnum::integer AS column_number
FROM relation AS r
INNER JOIN pg_attribute AS a ON r.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN ops.pii_class AS p
    ON
        a.attname = p.column_name
        AND (
            (r.schema_name = p.schema_name AND r.table_name = p.table_name)
            OR (r.schema_name LIKE 'masked\_%' AND r.table_name = p.schema_name || '_' || p.table_name)
        )
LEFT JOIN by_name AS b ON a.attname = b.column_name
LEFT JOIN ops.freshness AS f ON r.dataset = f.dataset;
COMMENT ON VIEW ops.catalog IS
'What there is: one row per column, with what it says of people; it shows names and sizes, no data';
COMMENT ON COLUMN ops.catalog.dataset IS 'Schema and table or view';
COMMENT ON COLUMN ops.catalog.column_name IS 'Column';
COMMENT ON COLUMN ops.catalog.data_type IS 'Type';
COMMENT ON COLUMN ops.catalog.pii_class IS 'See ops.pii_class; unclassified: nobody has said yet';
COMMENT ON COLUMN ops.catalog.owner IS 'Role that owns it';
COMMENT ON COLUMN ops.catalog.description IS 'What the column holds';
COMMENT ON COLUMN ops.catalog.last_change_at IS
'When a batch of its dataset was last finished, or a row of the log chained; null where it is not tracked';
COMMENT ON COLUMN ops.catalog.rows_estimate IS 'Rows as of the last analyze; null for a view';
COMMENT ON COLUMN ops.catalog.bytes IS
'Size on disk with indexes and all partitions or chunks; null for a view';
COMMENT ON COLUMN ops.catalog.column_number IS 'Order of the columns';
GRANT SELECT ON ops.catalog TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst,
telestream_privacy;
