SET LOCAL ROLE telestream_owner;

-- It is widened.
-- squawk-ignore ban-drop-constraint
ALTER TABLE ops.retention_rule DROP CONSTRAINT retention_rule_record_class_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE ops.retention_rule ADD CONSTRAINT retention_rule_record_class_check CHECK (
    record_class IN (
        'bronze.cdr', 'bronze.network_event', 'bronze.customer', 'silver.cdr', 'silver.network_event',
        'quarantine', 'dead_letter'
    )
);
INSERT INTO ops.retention_rule (record_class, jurisdiction, minimum, maximum, source)
SELECT
    'bronze.customer' AS record_class,
    r.jurisdiction,
    r.minimum,
    r.maximum,
    r.source
FROM ops.retention_rule AS r
WHERE r.record_class = 'bronze.cdr' AND r.jurisdiction = '*';

RESET ROLE;
