SET LOCAL ROLE telestream_owner;

DO $$
DECLARE
    v_column record;
BEGIN
    FOR v_column IN
        SELECT a.attrelid::regclass AS table_name, a.attname
        FROM pg_catalog.pg_attribute AS a
        WHERE
            a.attrelid IN ('bronze.cdr'::regclass, 'bronze.network_event'::regclass)
            AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
        EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS NULL', v_column.table_name, v_column.attname);
    END LOOP;
END
$$;

DROP TABLE ops.pii_class;
DROP TABLE privacy.mask_salt;
DROP TABLE privacy.masking_rule;
DROP SCHEMA masked_engineer;
DROP SCHEMA masked_analyst;
DROP SCHEMA masked_api;
DELETE FROM ops.setting
WHERE name = 'audit_retention';

-- The rows go back to where they were, in their order; their chain and their reasons are given up.
INSERT INTO audit.access_inbox
(access_id, at, principal, role, operation, field, variables_sha256, object_ids, rows_read, request_id)
OVERRIDING SYSTEM VALUE
SELECT
    l.access_id,
    l.at,
    l.principal,
    l.role,
    l.operation,
    l.field,
    l.variables_sha256,
    l.object_ids,
    l.rows_read,
    l.request_id
FROM audit.access_log AS l
ORDER BY l.position;
DROP TABLE audit.anchor;
DROP TABLE audit.chain_head;
DO $$
DECLARE
    v_template text;
BEGIN
    SELECT c.template_table INTO v_template
    FROM partman.part_config AS c
    WHERE c.parent_table = 'audit.access_log';
    DELETE FROM partman.part_config AS c WHERE c.parent_table = 'audit.access_log';
    IF v_template IS NOT NULL THEN
        EXECUTE pg_catalog.format('DROP TABLE IF EXISTS %s', v_template);
    END IF;
END
$$;
DROP TABLE audit.access_log;
ALTER TABLE audit.access_inbox DROP COLUMN reason;
ALTER TABLE audit.access_inbox RENAME TO access_log;
ALTER TABLE audit.access_log RENAME CONSTRAINT access_inbox_pkey TO access_log_pkey;
ALTER SEQUENCE audit.access_inbox_access_id_seq RENAME TO access_log_access_id_seq;
CREATE INDEX access_log_at ON audit.access_log USING brin (at);
COMMENT ON TABLE audit.access_log IS
'One row per request and field that read personal or customer-level data; holds surrogates, no person';
COMMENT ON COLUMN audit.access_log.principal IS 'Who: key:<key_id> or jwt:<subject>';
COMMENT ON COLUMN audit.access_log.operation IS 'Name of the GraphQL operation';
COMMENT ON COLUMN audit.access_log.field IS 'Field of the schema that read it, e.g. customer';

RESET ROLE;
-- The role stays: it belongs to the cluster, and another database may use it.
