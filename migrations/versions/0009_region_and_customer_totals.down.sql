DO $$
DECLARE
    v_def record;
    v_kind text;
BEGIN
    v_kind := CASE
        WHEN pg_catalog.current_setting('timescaledb.license') = 'timescale' THEN 'MATERIALIZED VIEW'
        ELSE 'TABLE'
    END;
    FOR v_def IN SELECT d.* FROM rollup.definition AS d WHERE d.position IN (7, 8, 9) ORDER BY d.position DESC LOOP
        EXECUTE pg_catalog.format('DROP VIEW rollup.%I', v_def.rollup_name);
        EXECUTE pg_catalog.format('DROP %s rollup.%I', v_kind, v_def.rollup_name || '_v' || v_def.version);
        DELETE FROM rollup.pending AS p WHERE p.rollup_name = v_def.rollup_name;
        DELETE FROM rollup.watermark AS w WHERE w.rollup_name = v_def.rollup_name;
        DELETE FROM rollup.definition AS d WHERE d.rollup_name = v_def.rollup_name;
    END LOOP;
END
$$;
