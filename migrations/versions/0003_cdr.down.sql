DROP TABLE quality.quarantine;
DROP TABLE quality.rule_result;
DROP TABLE quality.rule;
DROP TABLE silver.fact_cdr;
DO $$
DECLARE
    v_template text;
BEGIN
    SELECT c.template_table INTO v_template FROM partman.part_config AS c WHERE c.parent_table = 'bronze.cdr';
    DELETE FROM partman.part_config AS c WHERE c.parent_table = 'bronze.cdr';
    IF v_template IS NOT NULL THEN
        EXECUTE pg_catalog.format('DROP TABLE IF EXISTS %s', v_template);
    END IF;
END
$$;
DROP TABLE bronze.cdr;
DROP TABLE ops.watermark;
DROP TABLE ops.batch;
DROP TABLE ops.source_file;
