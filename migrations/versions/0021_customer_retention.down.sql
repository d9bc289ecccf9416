SET LOCAL ROLE telestream_owner;

DELETE FROM ops.retention_rule
WHERE record_class = 'bronze.customer';
ALTER TABLE ops.retention_rule DROP CONSTRAINT retention_rule_record_class_check;
ALTER TABLE ops.retention_rule ADD CONSTRAINT retention_rule_record_class_check CHECK (
    record_class IN (
        'bronze.cdr', 'bronze.network_event', 'silver.cdr', 'silver.network_event', 'quarantine',
        'dead_letter'
    )
);

RESET ROLE;
