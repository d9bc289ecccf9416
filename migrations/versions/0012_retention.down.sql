DO $$
BEGIN
    IF EXISTS (SELECT FROM ops.horizon AS h WHERE h.kept_from > '-infinity') THEN
        RAISE EXCEPTION 'days have left Silver, and without the horizon a late row would replace their Gold'
            USING ERRCODE = 'TS011',
            HINT = 'If their Gold may be lost: UPDATE ops.horizon SET kept_from = ''-infinity'', then again.';
    END IF;
END
$$;
DELETE FROM ops.pii_class
WHERE
    schema_name = 'ops'
    AND table_name IN ('horizon', 'archive_day', 'archive_column', 'retention_rule', 'legal_hold');
DROP TABLE ops.legal_hold;
INSERT INTO ops.setting (name, value, description)
SELECT
    'bronze_retention' AS name,
    r.maximum::text AS value,
    'Raw records of batches finished earlier than this are dropped' AS description
FROM ops.retention_rule AS r
WHERE r.record_class = 'bronze.cdr' AND r.jurisdiction = '*' AND r.maximum IS NOT NULL;
INSERT INTO ops.setting (name, value, description)
VALUES ('bronze_retention', '7 days', 'Raw records of batches finished earlier than this are dropped')
ON CONFLICT (name) DO NOTHING;
DELETE FROM ops.setting
WHERE name IN ('hot_window', 'jurisdiction');
DROP TABLE ops.retention_rule;
DROP TABLE ops.archive_column;
DROP TABLE ops.archive_day;
DELETE FROM quality.rule
WHERE rule = 'before_horizon';
DO $$
DECLARE
    v_store record;
BEGIN
    FOR v_store IN
        SELECT
            c.materialization_hypertable_schema AS store_schema,
            c.materialization_hypertable_name AS store_name
        FROM timescaledb_information.continuous_aggregates AS c
        WHERE c.view_schema = 'rollup'
    LOOP
        EXECUTE pg_catalog.format(
            'DROP TRIGGER IF EXISTS final_guard ON %I.%I', v_store.store_schema, v_store.store_name
        );
    END LOOP;
END
$$;
DROP FUNCTION rollup.refuse_final_delete();
DROP TABLE ops.horizon;
