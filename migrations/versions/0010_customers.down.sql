DELETE FROM quality.rule AS r
WHERE r.dataset = 'customer';
ALTER TABLE silver.fact_cdr DROP COLUMN is_plan_of_customer;
ALTER TABLE silver.fact_cdr DROP COLUMN customer_key;
DROP TABLE silver.customer_rekey;
DROP TABLE silver.dim_customer;
DROP TABLE silver.customer_change;
DO $$
DECLARE
    v_template text;
BEGIN
    SELECT c.template_table INTO v_template
    FROM partman.part_config AS c WHERE c.parent_table = 'bronze.customer';
    DELETE FROM partman.part_config AS c WHERE c.parent_table = 'bronze.customer';
    IF v_template IS NOT NULL THEN
        EXECUTE pg_catalog.format('DROP TABLE IF EXISTS %s', v_template);
    END IF;
END
$$;
DROP TABLE bronze.customer;
DELETE FROM quality.quarantine AS q
WHERE q.dataset = 'customer';
DELETE FROM quality.rule_result AS r
USING ops.batch AS b
WHERE r.batch_id = b.batch_id AND b.dataset = 'customer';
DELETE FROM ops.batch AS b
WHERE b.dataset = 'customer';
DELETE FROM ops.source_file AS f
WHERE f.dataset = 'customer';
DELETE FROM ops.watermark AS w
WHERE w.dataset = 'customer';
ALTER TABLE ops.batch DROP CONSTRAINT batch_source_kind_check;
ALTER TABLE ops.batch ADD CONSTRAINT batch_source_kind_check
CHECK (source_kind IN ('file', 'kafka', 'replay'));
COMMENT ON COLUMN ops.batch.source_kind IS 'file, kafka or replay';
COMMENT ON COLUMN ops.watermark.position IS 'Last file taken from a watched folder or prefix';
