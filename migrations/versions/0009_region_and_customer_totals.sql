SET LOCAL ROLE telestream_owner;

INSERT INTO rollup.definition
(position, version, rollup_name, source, time_column, grain, is_calendar, select_sql) VALUES
(
    7, 1, 'region_traffic_1h', 'rollup.cell_traffic_5m_v1', 'bucket', '1 hour', false,
    $${region_traffic_1h_v1}$$
),
(
    8, 1, 'region_traffic_1d', 'rollup.cell_traffic_5m_v1', 'bucket', '1 day', true,
    $${region_traffic_1d_v1}$$
),
(
    9, 1, 'customer_total_1d', 'rollup.customer_usage_1d_v1', 'bucket', '1 day', true,
    $${customer_total_1d_v1}$$
);
-- The zone that their sources were made with.
UPDATE rollup.definition AS d
SET select_sql = replace(d.select_sql, '@time_zone@', s.value)
FROM ops.setting AS s
WHERE s.name = 'time_zone' AND d.position IN (8, 9);

INSERT INTO rollup.watermark
SELECT
    d.rollup_name,
    timestamptz '1970-01-01 00:00:00+00' AS materialised_to
FROM rollup.definition AS d
WHERE d.position IN (7, 8, 9);

DO $$
DECLARE
    v_def record;
    v_store text;
    v_live text;
    v_value text;
BEGIN
    FOR v_def IN SELECT d.* FROM rollup.definition AS d WHERE d.position IN (7, 8, 9) ORDER BY d.position LOOP
        v_store := pg_catalog.format('rollup.%I', v_def.rollup_name || '_v' || v_def.version);
        IF pg_catalog.current_setting('timescaledb.license') = 'timescale' THEN
            EXECUTE 'CREATE MATERIALIZED VIEW ' || v_store
                || ' WITH (timescaledb.continuous, timescaledb.materialized_only = false,'
                || ' timescaledb.create_group_indexes = false) AS '
                || v_def.select_sql || ' WITH NO DATA';
            EXECUTE pg_catalog.format(
                'CREATE VIEW rollup.%I AS SELECT * FROM %s', v_def.rollup_name, v_store
            );
        ELSE
            EXECUTE 'CREATE TABLE ' || v_store || ' AS ' || v_def.select_sql || ' WITH NO DATA';
            EXECUTE 'ALTER TABLE ' || v_store || ' ALTER COLUMN bucket SET NOT NULL';
            PERFORM public.create_hypertable(
                v_store::regclass, public.by_range('bucket', interval '7 days'), create_default_indexes => false
            );
            v_live := pg_catalog.replace(
                v_def.select_sql, 'WHERE true',
                pg_catalog.format(
                    'WHERE %I >= rollup.materialised_to(%L)', v_def.time_column, v_def.rollup_name
                )
            );
            -- A rollup on a rollup reads its source's live tail as well.
            v_live := pg_catalog.regexp_replace(v_live, 'FROM rollup\.(\w+)_v\d+', 'FROM rollup.\1');
            EXECUTE pg_catalog.format(
                'CREATE VIEW rollup.%I AS SELECT s.* FROM %s AS s UNION ALL %s', v_def.rollup_name, v_store, v_live
            );
        END IF;
        IF v_def.rollup_name <> 'customer_total_1d' THEN
            EXECUTE pg_catalog.format('CREATE INDEX ON %s (bucket, region_key)', v_store);
        ELSE
            -- The first of a day in each ranking; the index by time alone is among them.
            FOREACH v_value IN ARRAY ARRAY['events', 'seconds', 'bytes', 'charge_micro'] LOOP
                EXECUTE pg_catalog.format(
                    'CREATE INDEX ON %s (bucket, currency, %I DESC, subscriber_id)', v_store, v_value
                );
            END LOOP;
        END IF;
    END LOOP;
END
$$;

INSERT INTO rollup.pending (rollup_name, bucket, batch_id)
SELECT DISTINCT
    'region_traffic_1h' AS rollup_name,
    public.time_bucket('1 hour', t.bucket) AS bucket,
    0 AS batch_id
FROM rollup.cell_traffic_5m_v1 AS t
UNION ALL
SELECT DISTINCT
    'region_traffic_1d' AS rollup_name,
    public.time_bucket(
        '1 day', t.bucket, (
            SELECT s.value FROM ops.setting AS s
            WHERE s.name = 'time_zone'
        )
    ) AS bucket,
    0 AS batch_id
FROM rollup.cell_traffic_5m_v1 AS t
UNION ALL
SELECT DISTINCT
    'customer_total_1d' AS rollup_name,
    t.bucket,
    0 AS batch_id
FROM rollup.customer_usage_1d_v1 AS t;

RESET ROLE;
