DELETE FROM quality.quarantine AS q
WHERE q.dataset = 'network_event';
DELETE FROM quality.rule AS r
WHERE r.dataset = 'network_event';
DELETE FROM ops.setting AS s
WHERE s.name = 'allowed_event_lateness';
DROP INDEX bronze.cdr_batch;
CREATE INDEX cdr_batch ON bronze.cdr USING brin (batch_id) WITH (pages_per_range = 64);
DROP TABLE silver.fact_network_event;
DO $$
DECLARE
    v_template text;
BEGIN
    SELECT c.template_table INTO v_template
    FROM partman.part_config AS c WHERE c.parent_table = 'bronze.network_event';
    DELETE FROM partman.part_config AS c WHERE c.parent_table = 'bronze.network_event';
    IF v_template IS NOT NULL THEN
        EXECUTE pg_catalog.format('DROP TABLE IF EXISTS %s', v_template);
    END IF;
END
$$;
DROP TABLE bronze.network_event;
DROP TABLE ops.outbox;
DROP TABLE ops.dead_letter;
DROP TABLE ops.kafka_slice;
DROP TABLE ops.kafka_offset;
