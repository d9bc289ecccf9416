SET LOCAL ROLE telestream_owner;

DELETE FROM ops.pii_class
WHERE
    schema_name = 'ops'
    AND table_name IN ('lineage_event', 'lineage_run', 'lineage_mark', 'lineage_outbox');
DELETE FROM ops.setting
WHERE name IN ('lineage_namespace', 'lineage_retention', 'lineage_send');
DROP TABLE ops.lineage_outbox;
DROP TABLE ops.lineage_mark;
DROP TABLE ops.lineage_run;
DO $$
DECLARE
    v_template text;
BEGIN
    SELECT c.template_table INTO v_template
    FROM partman.part_config AS c
    WHERE c.parent_table = 'ops.lineage_event';
    DELETE FROM partman.part_config AS c WHERE c.parent_table = 'ops.lineage_event';
    IF v_template IS NOT NULL THEN
        EXECUTE pg_catalog.format('DROP TABLE IF EXISTS %s', v_template);
    END IF;
END
$$;
DROP TABLE ops.lineage_event;

RESET ROLE;
