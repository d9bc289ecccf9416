SET LOCAL ROLE telestream_owner;

ALTER TABLE rollup.definition ADD COLUMN is_merged boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN rollup.definition.is_merged IS
'The refine adds each batch''s share in its own transaction; only marked buckets are computed anew. '
'Columns named …_min and …_max keep the extreme, all others are sums';

INSERT INTO rollup.definition
(position, version, rollup_name, source, time_column, grain, is_calendar, is_merged, select_sql) VALUES
(
    5, 1, 'network_5m', 'silver.fact_network_event', 'event_at', '5 minutes', false, true,
    $${network_5m_v1}$$
),
(6, 1, 'network_1h', 'rollup.network_5m_v1', 'bucket', '1 hour', false, false, $${network_1h_v1}$$);

INSERT INTO rollup.watermark
SELECT
    d.rollup_name,
    timestamptz '1970-01-01 00:00:00+00' AS materialised_to
FROM rollup.definition AS d
WHERE d.position IN (5, 6);

DO $$
DECLARE
    v_def record;
    v_store text;
    v_live text;
BEGIN
    FOR v_def IN SELECT d.* FROM rollup.definition AS d WHERE d.position IN (5, 6) ORDER BY d.position LOOP
        v_store := pg_catalog.format('rollup.%I', v_def.rollup_name || '_v' || v_def.version);
        IF pg_catalog.current_setting('timescaledb.license') = 'timescale' AND NOT v_def.is_merged THEN
            EXECUTE 'CREATE MATERIALIZED VIEW ' || v_store
                || ' WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS '
                || v_def.select_sql || ' WITH NO DATA';
            EXECUTE pg_catalog.format(
                'CREATE VIEW rollup.%I AS SELECT * FROM %s', v_def.rollup_name, v_store
            );
        ELSE
            EXECUTE 'CREATE TABLE ' || v_store || ' AS ' || v_def.select_sql || ' WITH NO DATA';
            EXECUTE 'ALTER TABLE ' || v_store || ' ALTER COLUMN bucket SET NOT NULL';
            PERFORM public.create_hypertable(
                v_store::regclass,
                public.by_range('bucket', interval '7 days'),
                create_default_indexes => NOT v_def.is_merged
            );
            IF v_def.is_merged THEN
                -- Its columns are what a batch's share is added to; it serves reading by time as well.
                EXECUTE pg_catalog.format(
                    'ALTER TABLE %s ADD PRIMARY KEY (bucket, cell_key, technology)', v_store
                );
            END IF;
            EXECUTE pg_catalog.format('CREATE INDEX ON %s (cell_key, bucket)', v_store);
            IF v_def.is_merged THEN
                EXECUTE pg_catalog.format(
                    'CREATE VIEW rollup.%I AS SELECT s.* FROM %s AS s', v_def.rollup_name, v_store
                );
            ELSE
                v_live := pg_catalog.replace(
                    v_def.select_sql, 'WHERE true',
                    pg_catalog.format(
                        'WHERE %I >= rollup.materialised_to(%L)', v_def.time_column, v_def.rollup_name
                    )
                );
                EXECUTE pg_catalog.format(
                    'CREATE VIEW rollup.%I AS SELECT s.* FROM %s AS s UNION ALL %s',
                    v_def.rollup_name, v_store, v_live
                );
            END IF;
        END IF;
    END LOOP;
END
$$;

RESET ROLE;
