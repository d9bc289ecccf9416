DO $$
DECLARE
    v_def record;
    v_kind text;
BEGIN
    FOR v_def IN SELECT d.* FROM rollup.definition AS d ORDER BY d.position DESC LOOP
        v_kind := CASE
            WHEN pg_catalog.current_setting('timescaledb.license') = 'timescale' THEN 'MATERIALIZED VIEW'
            ELSE 'TABLE'
        END;
        EXECUTE pg_catalog.format('DROP VIEW rollup.%I', v_def.rollup_name);
        EXECUTE pg_catalog.format('DROP %s rollup.%I', v_kind, v_def.rollup_name || '_v' || v_def.version);
    END LOOP;
END
$$;
DROP FUNCTION rollup.materialised_to;
DROP TABLE rollup.watermark;
DROP TABLE rollup.pending;
DROP TABLE rollup.definition;
