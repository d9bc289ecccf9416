SET LOCAL ROLE telestream_owner;

CREATE TABLE rollup.definition (
    position integer NOT NULL UNIQUE,
    version integer NOT NULL,
    rollup_name text PRIMARY KEY,
    source text NOT NULL,
    time_column text NOT NULL,
    grain interval NOT NULL,
    is_calendar boolean NOT NULL,
    select_sql text NOT NULL
);
COMMENT ON TABLE rollup.definition IS
'The rollups as defined: what both editions are made and refreshed from';
COMMENT ON COLUMN rollup.definition.position IS 'Order of refresh: a source before what is built on it';
COMMENT ON COLUMN rollup.definition.version IS 'Version in use; storage is rollup.<rollup_name>_v<version>';
COMMENT ON COLUMN rollup.definition.rollup_name IS 'Name';
COMMENT ON COLUMN rollup.definition.source IS 'Table it is computed from';
COMMENT ON COLUMN rollup.definition.time_column IS 'Time column of the source';
COMMENT ON COLUMN rollup.definition.grain IS 'Width of a bucket';
COMMENT ON COLUMN rollup.definition.is_calendar IS 'Buckets follow the operator''s time zone';
COMMENT ON COLUMN rollup.definition.select_sql IS 'The SELECT; WHERE true marks where a window is put';

INSERT INTO rollup.definition
(position, version, rollup_name, source, time_column, grain, is_calendar, select_sql) VALUES
(0, 1, 'cell_traffic_5m', 'silver.fact_cdr', 'started_at', '5 minutes', false, $${cell_traffic_5m_v1}$$),
(1, 1, 'cell_traffic_1h', 'rollup.cell_traffic_5m_v1', 'bucket', '1 hour', false, $${cell_traffic_1h_v1}$$),
(2, 1, 'cell_traffic_1d', 'rollup.cell_traffic_5m_v1', 'bucket', '1 day', true, $${cell_traffic_1d_v1}$$),
(3, 1, 'customer_usage_1d', 'silver.fact_cdr', 'started_at', '1 day', true, $${customer_usage_1d_v1}$$),
(4, 1, 'revenue_1d', 'silver.fact_cdr', 'started_at', '1 day', true, $${revenue_1d_v1}$$);

CREATE TABLE rollup.pending (
    rollup_name text NOT NULL REFERENCES rollup.definition,
    bucket timestamptz NOT NULL,
    batch_id bigint NOT NULL,
    PRIMARY KEY (rollup_name, bucket, batch_id)
);
COMMENT ON TABLE rollup.pending IS 'Buckets touched by committed batches and not yet refreshed';
COMMENT ON COLUMN rollup.pending.rollup_name IS 'Rollup to refresh';
COMMENT ON COLUMN rollup.pending.bucket IS 'Start of the touched bucket';
COMMENT ON COLUMN rollup.pending.batch_id IS 'The batch that touched it; 0: a refresh of its source';

CREATE TABLE rollup.watermark (
    rollup_name text PRIMARY KEY REFERENCES rollup.definition,
    materialised_to timestamptz NOT NULL
);
COMMENT ON TABLE rollup.watermark IS
'End of the stored part of each rollup (Apache edition); later rows are computed when read';
COMMENT ON COLUMN rollup.watermark.rollup_name IS 'Rollup';
COMMENT ON COLUMN rollup.watermark.materialised_to IS 'End of its last stored bucket';
INSERT INTO rollup.watermark
SELECT
    d.rollup_name,
    timestamptz '1970-01-01 00:00:00+00' AS materialised_to
FROM rollup.definition AS d;

-- State, and the one function among it: the views below stand on it. A function and not a subquery, because
-- the planner evaluates it, knows that the live tail is short, and excludes chunks by it.
CREATE FUNCTION rollup.materialised_to(p_rollup_name text)
RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT w.materialised_to FROM rollup.watermark AS w WHERE w.rollup_name = p_rollup_name $$;
COMMENT ON FUNCTION rollup.materialised_to IS 'End of the stored part of a rollup (Apache edition)';

-- Storage and, over it, one view per rollup that both editions have: stored part and live tail.
DO $$
DECLARE
    v_def record;
    v_store text;
    v_key text;
    v_live text;
BEGIN
    FOR v_def IN SELECT d.* FROM rollup.definition AS d ORDER BY d.position LOOP
        v_store := pg_catalog.format('rollup.%I', v_def.rollup_name || '_v' || v_def.version);
        IF pg_catalog.current_setting('timescaledb.license') = 'timescale' THEN
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
                create_default_indexes => true
            );
            -- For a reader of one cell, subscriber or region over time; the first key is the second column.
            -- Not unique over all keys: that index took half the time of a refresh.
            SELECT pg_catalog.quote_ident(a.attname) INTO v_key
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = v_store::regclass AND a.attnum = 2;
            EXECUTE pg_catalog.format('CREATE INDEX ON %s (%s, bucket)', v_store, v_key);
            v_live := pg_catalog.replace(
                v_def.select_sql, 'WHERE true',
                pg_catalog.format(
                    'WHERE %I >= rollup.materialised_to(%L)', v_def.time_column, v_def.rollup_name
                )
            );
            -- A rollup on a rollup reads its source's live tail as well.
            v_live := pg_catalog.regexp_replace(v_live, 'FROM rollup\.(\w+)_v\d+', 'FROM rollup.\1');
            -- No condition on the stored part, which ends at the watermark anyway: the planner then joins
            -- straight to its index.
            EXECUTE pg_catalog.format(
                'CREATE VIEW rollup.%I AS SELECT s.* FROM %s AS s UNION ALL %s', v_def.rollup_name, v_store, v_live
            );
        END IF;
    END LOOP;
END
$$;

RESET ROLE;
